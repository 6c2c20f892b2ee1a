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
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from ckmeans import KMeans

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
# TF-IDF weighs rare words more. The rows are projected on a few directions and brought to unit
# length, so that squared distances measure the angle between texts.
vectorizer = TfidfVectorizer()
weights = vectorizer.fit_transform(texts)
reduction = make_pipeline(TruncatedSVD(10, random_state=0), Normalizer(copy=False))
X = reduction.fit_transform(weights)
model = KMeans(5, n_init=5, random_state=0).fit(X)
print("agreement with the subjects:", round(adjusted_rand_score(truth, model.labels_), 3))

# %%
# The words of largest mean weight tell what a cluster is about.
words = vectorizer.get_feature_names_out()
for j in range(5):
    mean = np.asarray(weights[model.labels_ == j].mean(axis=0)).ravel()
    print(f"cluster {j}:", ", ".join(words[np.argsort(-mean)[:6]]))

# %%
table = np.zeros((5, 5), dtype=int)
np.add.at(table, (truth, model.labels_), 1)
figure, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
ax.imshow(table, cmap="Blues")
ax.set_yticks(range(5), names)
ax.set_xticks(range(5), [f"cluster {j}" for j in range(5)])
for (i, j), count in np.ndenumerate(table):
    ax.text(j, i, count, ha="center", va="center", color="white" if count > 200 else "black")
