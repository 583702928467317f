"""The arrays of a k-means case as the peers make them, for `kmeans_speed`: kmeans.py CASE FOLDER"""

import sys

import numpy as np
import s2_kernels as peers

case, folder = sys.argv[1:]
rows, columns, clusters, sigma = peers.KM[case]
points, _ = peers.blobs(rows, columns, clusters, sigma=sigma)
first = np.random.default_rng(7).choice(rows, clusters, replace=False)
np.save(f"{folder}/{case}-centres.npy", points[first])
np.save(f"{folder}/{case}-rows.npy", points)
