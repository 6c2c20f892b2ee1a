"""
Clustering short news
=====================

Texts become rows by the weights of their words (TF-IDF), and similar texts come to lie near each
other.
"""

# %%
# The texts are generated: each is about one of five subjects, but half of its words are common to
# all of them.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score

from ckmeans import elbow, kmeans

SUBJECTS = {
    "sport": "match team goal coach season league player score final striker defence stadium cup",
    "markets": "shares bank profit investors rates inflation bonds market index growth euro debt",
    "science": "study researchers cells protein telescope planet laboratory data theory genome",
    "weather": "rain storm wind flood temperature snow forecast coast heat drought cloud frost",
    "politics": "minister parliament vote election party law coalition debate reform budget treaty",
}
COMMON = "yesterday people city year week said first new large report country plan number time"

rng = np.random.default_rng(0)
names = list(SUBJECTS)
truth = rng.integers(len(names), size=2000)
texts = []
for subject in truth:
    own = rng.choice(SUBJECTS[names[subject]].split(), 12)
    common = rng.choice(COMMON.split(), 12)
    texts.append(" ".join(rng.permutation([*own, *common])))
print(texts[0])

# %%
# TF-IDF weighs rare words more. A row has a column for each word of the language, and zeros for all
# words that are not in the text: a sparse matrix, which is clustered as it is.
vectorizer = TfidfVectorizer()
X = vectorizer.fit_transform(texts)
print(f"{type(X).__name__} of shape {X.shape}, {X.nnz / X.shape[0]:.0f} words in a text")

# %%
# What a text is about is in the direction of its row, not in its length: `metric="cosine"` compares
# the angles. The centroids are then of unit length.
result = kmeans(X, 5, seed=0, n_init=5, metric="cosine")
print("agreement with the subjects:", round(adjusted_rand_score(truth, result.labels), 3))

# %%
# The largest entries of a centroid are the words that tell what the cluster is about.
words = vectorizer.get_feature_names_out()
for j, centroid in enumerate(result.centroids):
    print(f"cluster {j}:", ", ".join(words[np.argsort(-centroid)[:6]]))

# %%
table = np.zeros((5, 5), dtype=int)
np.add.at(table, (truth, result.labels), 1)
figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
ax.imshow(table, cmap="Blues")
ax.set_yticks(range(5), names)
ax.set_xticks(range(5), [f"cluster {j}" for j in range(5)])
for (i, j), count in np.ndenumerate(table):
    ax.text(j, i, count, ha="center", va="center", color="white" if count > 200 else "black")

# %%
# How many subjects are there? The elbow sees it.
ax = elbow(X, 10, seed=0, n_init=3, metric="cosine").plot()
