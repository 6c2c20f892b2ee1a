"""
Colour quantisation and image segmentation
==========================================

The pixels of a photograph are rows of three columns. Their centroids are a palette, their labels a
picture in few colours, or in regions.
"""

# %%
# scikit-learn ships the photograph: 427 x 640 pixels, bytes from 0 to 255. No conversion is needed:
# bytes are read in place.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from ckmeans import kmeans

photograph = load_sample_image("china.jpg")
height, width, _ = photograph.shape
pixels = photograph.reshape(-1, 3)
pixels.shape, pixels.dtype

# %%
# Few colours
# -----------
# Each pixel is replaced by the centroid of its cluster.
pictures = {"original": photograph}
for k in (4, 16, 64):
    result = kmeans(pixels, k, seed=0)
    palette = result.centroids.round().astype(np.uint8)
    pictures[f"{k} colours"] = palette[result.labels].reshape(photograph.shape)

figure, axes = plt.subplots(2, 2, figsize=(10, 7.1), layout="constrained")
for ax, (name, picture) in zip(axes.flat, pictures.items()):
    ax.imshow(picture)
    ax.set_title(name, loc="left")
    ax.axis("off")

# %%
# How far the new colours are from the old ones: root of the mean squared difference of a channel.
for name, picture in list(pictures.items())[1:]:
    difference = picture.astype(float) - photograph
    print(f"{name:10} {np.sqrt(np.mean(difference**2)):5.1f}")

# %%
# Regions
# -------
# Three clusters of colours are sky, walls, and dark wood and leaves. The positions of the pixels
# as two more columns, weakly weighted, would favour connected regions.
regions = kmeans(pixels, 3, seed=0, n_init=3).sorted(by="size")
figure, axes = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained")
for j, ax in enumerate(axes):
    inside = (regions.labels == j).reshape(height, width, 1)
    ax.imshow(np.where(inside, photograph, 255))
    ax.set_title(f"region {j}: {regions.sizes[j]:,} pixels", loc="left")
    ax.axis("off")
