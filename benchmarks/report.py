"""The table as its rows come in, and the plot of all of it."""


def print_machine(machine, rates):
    print(f"{machine['cpu']}, {machine['cpus']} CPUs, load {machine['load']}")
    print(*machine["ckmeans"], sep="\n")
    print(", ".join(f"{name} {v or 'missing'}" for name, v in machine["versions"].items()))
    print(
        f"NumPy on one thread: {rates['float32'] / 1e9:.0f} GFLOP/s float32, "
        f"{rates['float64'] / 1e9:.0f} float64, {rates['read'] / 1e9:.1f} GB/s read"
    )


def print_header(names, divisor):
    print("\nRatios of medians, above 1 where ours is faster; * did other work.")
    print("FMA, read: shares of the machine's peaks in a plain iteration on one thread.")
    print(f"Rows: one in {divisor} of what the cases say.\n" if divisor > 1 else "")
    columns = ["ours ms", "n_iter", *names, "FMA", "read"]
    print(f"{'':31}{'mode':7}{'thr':>3}" + "".join(f"{name:>10}" for name in columns))


def print_row(title, contest, names, shares):
    own = contest["figures"]["ours"]
    cells = [f"{1e3 * own['seconds']:.4g}", own["n_iter"]]
    cells += [marked(contest["figures"].get(name)) for name in names]
    cells += [f"{share:.0%}" for share in shares]
    line = f"{title:31}{contest['mode']:7}{contest['threads']:3}"
    print(line + "".join(f"{cell:>10}" for cell in cells), flush=True)


def marked(figure):
    return f"{figure['ratio']:.2f}{'' if figure['same_work'] else '*'}" if figure else "-"


def print_notes(cases):
    """What the marks and the gaps of the table stand for."""
    skipped = {}
    print()
    for name, case in cases.items():
        for contest in case["contests"]:
            where = f"{name} {contest['mode']} {contest['threads']}"
            own = contest["figures"]["ours"]
            for peer, figure in contest["figures"].items():
                if not figure["same_work"]:
                    steps = figure["n_iter"] or own["n_iter"]
                    each = figure["ratio"] * own["n_iter"] / steps
                    print(
                        f"* {where} {peer}: n_iter {steps}, ours {own['n_iter']} (ratio of an "
                        f"iteration {each:.2f}); inertia {figure['inertia'] / own['inertia']:.5f}"
                    )
            for peer, reason in contest["skipped"].items():
                skipped.setdefault(f"- {peer}: {reason}", []).append(where)
    for reason, places in skipped.items():
        print(f"{reason} ({places[0]}{f' and {len(places) - 1} more' * (len(places) > 1)})")


def print_section(name, section):
    print(f"\n{name}: {section['what']}")
    for label, figure in section["figures"].items():
        print(f"  {label:40}{figure:10.3g}")


def plot(cases, peers, path):
    """Horizontal bars of each ratio on a log axis; one panel a mode and number of threads."""
    from matplotlib.figure import Figure

    contests = [(case["title"], contest) for case in cases.values() for contest in case["contests"]]
    panels = list(dict.fromkeys((c["mode"], c["threads"]) for _, c in contests))
    titles = [case["title"] for case in cases.values()]
    height = 1 / (len(peers) + 1)
    figure = Figure(figsize=(2.5 + 3 * len(panels), 1.5 + 0.12 * len(titles) / height))
    axes = figure.subplots(1, len(panels), sharey=True, sharex=True, squeeze=False)[0]
    for ax, panel in zip(axes, panels, strict=True):
        shown = [(t, c["figures"]) for t, c in contests if (c["mode"], c["threads"]) == panel]
        for i, peer in enumerate(peers):
            found = [(titles.index(t), figures[peer]) for t, figures in shown if peer in figures]
            bars = ax.barh(
                [row + (i + 1) * height - 0.5 for row, _ in found],
                [f["ratio"] - 1 for _, f in found],
                height, left=1, color=f"C{i}", label=peer,
            )  # fmt: skip
            ax.bar_label(bars, [marked(f) for _, f in found], padding=2, fontsize=6)
        ax.set_xscale("log")
        ax.axvline(1, color="black", linewidth=0.8)
        ax.set_title(f"{panel[0]}, {panel[1]} thread{'s' * (panel[1] > 1)}", fontsize=9)
        ax.margins(x=0.2)
        ax.xaxis.set_major_formatter("{x:g}")
    axes[0].set_yticks(range(len(titles)), titles, fontsize=8)
    axes[0].set_ylim(len(titles) - 0.4, -0.6)
    note = "peer's time over ours, log scale: right of the line ours is faster; * did other work"
    figure.supxlabel(note, fontsize=8)
    legend = axes[0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside upper center", ncols=3 * len(panels), fontsize=8)
    figure.set_layout_engine("constrained")
    figure.savefig(path, dpi=150)
