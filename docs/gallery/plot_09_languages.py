"""
Languages from letter frequencies
=================================

How often each letter occurs says much about a language. Related languages end up in the same
cluster, without a dictionary.
"""

# %%
# The names of countries, languages and currencies in twenty languages come with the package Babel.
# A row is a language, a column the share of one letter.
import unicodedata
from collections import Counter
from string import ascii_lowercase

import numpy as np
from babel import Locale

from ckmeans import kmeans

CODES = "de nl da sv nb is en fr it es pt ca ro pl cs sk hr sl fi et".split()


def letters(code):
    """Shares of a to z in the names of a locale; accents are taken off."""
    locale = Locale(code)
    names = " ".join(
        [*locale.territories.values(), *locale.languages.values(), *locale.currencies.values()]
    )
    plain = unicodedata.normalize("NFD", names.lower())
    counts = Counter(letter for letter in plain if letter in ascii_lowercase)
    return np.array([counts[letter] for letter in ascii_lowercase]) / sum(counts.values())


X = np.array([letters(code) for code in CODES])
X.shape

# %%
# Frequent letters vary more and would decide alone. Square roots even that out: the distance is
# then Hellinger's, which is made for shares.
roots = np.sqrt(X)
result = kmeans(roots, 4, seed=0, n_init=50, refine="swap").sorted(by="position")
for j in range(4):
    members = np.flatnonzero(result.labels == j)
    print(f"cluster {j}:", ", ".join(Locale(CODES[i]).get_language_name("en") for i in members))

# %%
ax = result.plot(roots)
if ax.get_legend():
    ax.get_legend().remove()
drawn = next(c for c in ax.collections if len(c.get_offsets()) == len(X)).get_offsets()
for code, (x, y) in zip(CODES, drawn):
    ax.annotate(code, (x, y), (5, 5), textcoords="offset points")

# %%
# What sets the clusters apart: letters whose share differs most from the mean over all languages.
for j in range(4):
    shares = result.centroids[j] ** 2 - X.mean(axis=0)
    order = np.argsort(-shares)[:3]
    print(f"cluster {j}:", ", ".join(f"{ascii_lowercase[i]} {shares[i]:+.1%}" for i in order))
