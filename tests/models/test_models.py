"""oneDNN where it is faster, and never against a user's wish."""

from robust_interpretability import models


def chosen(monkeypatch, name: str, own: str | None = None) -> str:
    import os

    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if own is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", own)
    models.choose_kernels(name)
    return os.environ["TF_ENABLE_ONEDNN_OPTS"]


def test_kernels_follow_from_the_network(monkeypatch):
    assert {name: chosen(monkeypatch, name) for name in models.CLASSIFIERS} == {
        "mlp": "0",
        "digits_cnn": "0",
        "strided_cnn": "1",
        "mnist_cnn": "1",
        "cifar_cnn": "1",
    }


def test_a_users_choice_stands(monkeypatch):
    assert chosen(monkeypatch, "cifar_cnn", own="0") == "0"
