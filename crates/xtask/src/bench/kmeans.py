"""The points of `cargo xtask bench kmeans`, and the same work in scikit-learn and faiss.

kmeans.py write PEERS FOLDER CASE...   points and starting centres of each case, as PEERS/s2_kernels.py draws them
kmeans.py run FOLDER CASE LIBRARY      one run of sklearn or faiss on them, in single precision, on two threads
"""
import json
import os
import sys
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")
import numpy as np


def write(path, array):
    with open(path + ".new", "wb") as file:
        np.array(array.shape, "<i8").tofile(file)
        array.astype("<f8").tofile(file)
    os.replace(path + ".new", path)


def read(path):
    rows, columns = np.fromfile(path, "<i8", 2)
    return np.fromfile(path, "<f8", offset=16).reshape(rows, columns)


def write_case(folder, case):
    from s2_kernels import KM, blobs

    n, d, k, sigma = KM[case]
    points, _ = blobs(n, d, k, sigma=sigma)
    start = points[np.random.default_rng(7).choice(n, k, replace=False)]
    write(f"{folder}/{case}.points", points)
    write(f"{folder}/{case}.centres", start)


def run_case(folder, case, library):
    warnings.filterwarnings("ignore")
    points, start = (read(f"{folder}/{case}.{what}").astype(np.float32) for what in ("points", "centres"))
    k, d = start.shape
    if library == "sklearn":
        from sklearn.cluster import KMeans

        fit = lambda: KMeans(k, init=start, n_init=1, max_iter=25, tol=0.0, algorithm="lloyd").fit(points)
    else:
        import faiss

        faiss.omp_set_num_threads(2)
        search = faiss.Kmeans(d, k, niter=25, max_points_per_centroid=10**9, min_points_per_centroid=1, seed=1)
        fit = lambda: search.train(points, init_centroids=start)
    begin = time.perf_counter()
    fitted = fit()
    seconds = time.perf_counter() - begin
    if library == "sklearn":
        inertia, iterations = float(fitted.inertia_), int(fitted.n_iter_)
    else:
        inertia, iterations = float(search.obj[-1]), len(search.obj)
    line = {"case": case, "library": library, "seconds": round(seconds, 4), "inertia": inertia, "n_iter": iterations}
    print(json.dumps(line))


if sys.argv[1] == "write":
    sys.path.insert(0, sys.argv[2])
    for name in sys.argv[4:]:
        write_case(sys.argv[3], name)
else:
    run_case(*sys.argv[2:])
