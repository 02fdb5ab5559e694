"""The corpus, continued: functions of `keras.ops` that are none, or are called as none is."""

from collections.abc import Callable

from tests.hostile.building import with_config
from tests.hostile.corpus import CASES, Case, Trap

EVIL = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}


def node(class_name: str, edit: Callable[[dict], object]) -> Callable[[Trap], bytes]:
    """The first function of a class in an honest functional model, edited."""

    def change(config: dict) -> None:
        found = config["config"]["layers"]
        edit(next(one for one in found if one["class_name"] == class_name))

    return lambda _: with_config(change, "operations")


def called(class_name: str, **call: object) -> Callable[[Trap], bytes]:
    """Its one call, with other positional or keyword arguments."""
    return node(class_name, lambda one: one["inbound_nodes"][0].update(call))


def second(class_name: str, value: object) -> Callable[[Trap], bytes]:
    """Its second argument, set."""

    def edit(one: dict) -> None:
        args = one["inbound_nodes"][0]["args"]
        args[1:] = [value]

    return node(class_name, edit)


def configured(class_name: str, **config: object) -> Callable[[Trap], bytes]:
    return node(class_name, lambda one: one["config"].update(config))


def add(name: str, message: str, build: Callable[[Trap], bytes]) -> None:
    CASES.append(Case(f"operation_{name}", build, rf"^config\.json: .*{message}"))


def part(**ends: object) -> dict:
    return {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None} | ends}


ELLIPSIS = {"class_name": "__ellipsis__", "config": {}}

add("of_the_system", r"of module 'os'", node("Multiply", lambda one: one.update(module="os")))
add(
    "of_keras_saving",
    r"of module 'keras\.src\.saving'",
    node("Multiply", lambda one: one.update(module="keras.src.saving")),
)
add(
    "unknown",
    r"'LoadModel', node 'multiply.*', is not on the list; use a layer",
    node("Multiply", lambda one: one.update(class_name="LoadModel")),
)
add(
    "registered",
    r"is not as Keras writes it",
    node("Multiply", lambda one: one.update(registered_name="evil>Multiply")),
)
add("with_a_key", r"is not as Keras writes it", node("Relu", lambda one: one.update(run=EVIL)))
add("without_a_name", r"without a name", node("Relu", lambda one: one.update(name=None)))
add("long_name", r"without a name", node("Relu", lambda one: one.update(name="n" * 5000)))
add("without_a_config", r"without a name or a config", node("Relu", lambda o: o.update(config=3)))
add(
    "terminal_name",
    r"\\x1b\]0;",
    node("Relu", lambda one: one.update(name="\x1b]0;x", class_name="X")),
)


def _named_twice(config: dict) -> None:
    first, second = [one for one in config["config"]["layers"] if "ops" in one["module"]][:2]
    second["name"] = first["name"]


add("two_of_a_name", r"has two layers named", lambda _: with_config(_named_twice, "operations"))
for _name, _nodes in (
    ("no_call", []),
    ("two_calls", [{"args": [1], "kwargs": {}}] * 2),
    ("call_of_text", ["x"]),
    ("calls_of_text", "x"),
    ("call_without_arguments", [{"args": []}]),
    ("call_with_arguments_of_text", [{"args": "x", "kwargs": {}}]),
    ("call_with_more", [{"args": [], "kwargs": {}, "run": EVIL}]),
):
    add(
        _name,
        r"is called in a form",
        node("Relu", lambda one, nodes=_nodes: one.update(inbound_nodes=nodes)),
    )
add("no_arguments", r"is called in a form", called("Relu", args=[]))
add("too_many_arguments", r"is called in a form", called("Multiply", args=[1, 2, 3]))
add("strange_keyword", r"is called in a form", called("Relu", kwargs={"out": EVIL}))
add("no_tensor", r"takes no output of a layer", called("Multiply", args=[2.0, 2.0]))
add("numbers_alone", r"takes outputs of layers alone", called("Relu", args=[2.0]))
add("tensors_of_text", r"not a number", called("Relu", args=["x"]))
add("list_for_tensor", r"", called("Concatenate", args=[[[1.0]]]))
for _name, _value in (
    ("text", "__import__('os')"),
    ("boolean", True),
    ("function", EVIL),
    ("empty", []),
    ("long", [1.0] * 10_000),
    ("deep", [[[[[[[[[[1.0]]]]]]]]]]),
    ("matrix", [[1.0, 2.0], [3.0, 4.0]]),
    ("huge", 1e200),
    ("tensor_of_nothing", {"class_name": "__tensor__", "config": None}),
    ("tensor_of_text", {"class_name": "__tensor__", "config": {"value": "x"}}),
    ("array_of_objects", {"class_name": "__numpy__", "config": {"value": [EVIL]}}),
):
    add(
        f"constant_{_name}",
        r"(not a number|another tensor|not the output)",
        second("Multiply", _value),
    )
add("constants_do_not_fit", r"lists of one number per channel", second("Multiply", [1.0, 2.0]))
add("divided_by_zero", r"divides by zero", second("TrueDivide", 0))
for _name, _key, _message in (
    ("one_image", 0, r"whole batch axis"),
    ("part_of_the_batch", [part(stop=2), ELLIPSIS], r"whole batch axis"),
    ("batch_backwards", [part(step=-1), ELLIPSIS], r"whole batch axis"),
    ("function", [EVIL], r"takes a key"),
    ("text", "x", r"takes a key"),
    ("new_axis", [ELLIPSIS, None], r"takes a key"),
    ("boolean", [ELLIPSIS, True], r"takes a key"),
    ("array", [ELLIPSIS, [0, 1]], r"takes a key"),
    ("step_0", [ELLIPSIS, part(step=0)], r"takes a key"),
    ("huge", [ELLIPSIS, part(stop=1 << 40)], r"must be an integer"),
    ("text_in_a_slice", [ELLIPSIS, part(stop="x")], r"must be an integer"),
    ("beyond", [ELLIPSIS, 6], r"has 6 for an axis of size 6"),
    ("nothing_left", [ELLIPSIS, part(start=3, stop=3)], r"its output would have shape"),
    ("many_parts", [part()] * 9, r"parts for 4 axes"),
    ("endless", [part()] * 500, r"more than 9 parts"),
    ("two_ellipses", [ELLIPSIS, ELLIPSIS], r"parts for 4 axes"),
):
    add(f"key_{_name}", _message, second("GetItem", _key))
add("mean_over_the_batch", r"axis 0 is the batch axis", configured("Mean", axis=[0, 1]))
add("mean_over_all", r"axis is null", configured("Mean", axis=None))
add("mean_over_an_axis_twice", r"named twice", configured("Mean", axis=[1, 1]))
add("joined_over_the_batch", r"axis 0 is the batch axis", configured("Concatenate", axis=0))
add("stacked_over_the_batch", r"axis 0 is the batch axis", configured("Stack", axis=0))
add("reshaped_over_the_batch", r"must keep the batch axis", configured("Reshape", newshape=[4, 12]))
add("reshaped_to_more", r"does not fit target_shape", configured("Reshape", newshape=[-1, 13]))
add("reshaped_by_text", r"newshape|must be", configured("Reshape", newshape="x"))
add("clipped_by_text", r"x_min is 'x'", configured("Clip", x_min="x"))
add("with_an_argument", r"has the argument 'run'", configured("Clip", run=EVIL))
