"""What processes that share a GPU find in their environment."""

import os

MEMORY = "XLA_PYTHON_CLIENT_MEM_FRACTION"
"""JAX's variable for the share of a GPU's memory that a process reserves."""

FRACTION = 0.9
"""The share of a GPU's memory that all processes on it may reserve together."""


def share_environment(share: int) -> dict[str, str]:
    """Variables for each of `share` processes on one GPU; none for a process alone.

    JAX would reserve three quarters of the memory for one process: each gets an equal part.
    TensorFlow takes memory as it needs it. Where NVIDIA's Multi-Process Service runs, each process
    may use twice its equal part of the multiprocessors, as NVIDIA advises for work that does not
    fill its part. A user's own values stand.

    Args:
        share: How many processes share a GPU.
    """
    if share <= 1:
        return {}
    ours = {
        MEMORY: f"{FRACTION / share:.3f}",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": str(min(100, round(200 / share))),
    }
    return {name: os.environ.get(name, value) for name, value in ours.items()}
