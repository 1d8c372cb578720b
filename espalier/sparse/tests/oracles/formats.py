# SPDX-License-Identifier: Apache-2.0
"""What PyTorch (2.13, CPU) says of CSR and BSR tensors: indices and values of a dense matrix, their
transposes, products with dense matrices, and torch.sparse.sampled_addmm. Writes formats.npz.
`pip install torch numpy`, then `python3 formats.py`."""
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore")  # "sparse CSR tensor support is in beta state"
arrays = {}


def made(rows, cols, seed):
    """Numbers in [-0.99, 0.99], the same at every call; formats_oracle_test.cpp has the same formula."""
    values = [((i * 37 + seed * 101) % 199) / 100.0 - 0.99 for i in range(rows * cols)]
    return torch.tensor(values, dtype=torch.float64).reshape(rows, cols)


def matrix(rows, cols, seed, keep):
    """Of `made`, what is left where (i * 7 + i // cols) % 10 is below `keep`; row 1 is empty."""
    dense = made(rows, cols, seed)
    for i in range(rows * cols):
        if (i * 7 + i // cols) % 10 >= keep or i // cols == 1:
            dense[i // cols, i % cols] = 0.0
    return dense


def add(name, tensor):
    arrays[name] = tensor.detach().numpy()


def add_csr(name, csr):
    add(name + ".offsets", csr.crow_indices().to(torch.int32))
    add(name + ".columns", csr.col_indices().to(torch.int32))
    add(name + ".values", csr.values())


for dtype, told in ((torch.float32, "f32"), (torch.float64, "f64")):
    for rows, cols, n, keep in ((6, 8, 5, 3), (12, 10, 17, 5)):
        name = f"{told}.{rows}x{cols}"
        dense = matrix(rows, cols, 1, keep).to(dtype)
        b = made(cols, n, 2).to(dtype)
        csr = dense.to_sparse_csr()
        if dtype == torch.float64:
            add_csr(name + ".csr", csr)
            add_csr(name + ".turned", dense.t().contiguous().to_sparse_csr())
        add(name + ".product", csr @ b)
        left, right = made(rows, n, 3).to(dtype), made(n, cols, 4).to(dtype)
        sampled = torch.sparse.sampled_addmm(csr, left, right, beta=0.0)
        add(name + ".sampled", sampled.values())
        for block in ((2, 2), (3, 1)):
            if rows % block[0] or cols % block[1]:
                continue
            bsr = dense.to_sparse_bsr(block)
            blocks = f"{name}.bsr{block[0]}x{block[1]}"
            if dtype == torch.float64:
                add(blocks + ".offsets", bsr.crow_indices().to(torch.int32))
                add(blocks + ".columns", bsr.col_indices().to(torch.int32))
                add(blocks + ".values", bsr.values())
            if block[0] == block[1]:  # PyTorch multiplies square blocks
                add(blocks + ".product", bsr @ b)

np.savez_compressed(__file__.replace(".py", ".npz"), **arrays)
