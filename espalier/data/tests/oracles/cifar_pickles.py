# SPDX-License-Identifier: Apache-2.0
"""Writes a small CIFAR of the Python version beside itself, a protocol a file. Run: python3 cifar_pickles.py

Value p of an image of label l is (3 p + l) % 251 // 16 * 16, so that the files pack well.
"""
import pathlib
import pickle

import numpy

HERE = pathlib.Path(__file__).resolve().parent


def images(labels):
    place = numpy.arange(3072)
    rows = [(3 * place + label) % 251 // 16 * 16 for label in labels]
    return numpy.array(rows).astype(numpy.uint8)


def write(path, content, protocol):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))


def batch(labels, more=None, key="labels", order="C"):
    content = {
        "batch_label": "a small batch",
        key: labels,
        "data": numpy.asarray(images(labels), order=order),
        "filenames": [f"picture_{i}.png" for i in range(len(labels))],
    }
    content.update(more or {})
    return content


def main():
    ten = HERE / "cifar-10-batches-py"
    for number, protocol in enumerate([0, 1, 2, 3, 4], start=1):
        write(ten / f"data_batch_{number}", batch([number]), protocol)
    write(ten / "test_batch", batch([9, 0, 4], order="F"), 5)
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    meta = {"num_cases_per_batch": 1, "label_names": names, "num_vis": 3072}
    write(ten / "batches.meta", meta, 2)
    hundred = HERE / "cifar-100-python"
    fine = [f"fine_{i:02}" for i in range(100)]
    coarse = [f"coarse_{i:02}" for i in range(20)]
    write(hundred / "train", batch([98, 7], {"coarse_labels": [3, 4]}, "fine_labels"), 2)
    write(hundred / "test", batch([99], {"coarse_labels": [19]}, "fine_labels"), 2)
    write(hundred / "meta", {"fine_label_names": fine, "coarse_label_names": coarse}, 2)


if __name__ == "__main__":
    main()
