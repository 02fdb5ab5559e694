"""The counts, on a module written by hand."""

import pytest

from tests.gpu_compile import hlo

MODULE = """HloModule made, is_scheduled=true

%sorted (a: f32[8], b: f32[8]) -> pred[] {
  %a = f32[] parameter(0)
  ROOT %less = pred[] compare(%a, %a), direction=LT
}

%rows (set: u8[1000,4], index: s32[10]) -> f32[10,4] {
  %set = u8[1000,4]{1,0} parameter(0)
  %index = s32[10]{0} parameter(1)
  %same = s32[10]{0} bitcast(%index)
  %taken = u8[10,4]{1,0} gather(%set, %same), offset_dims={1}
  ROOT %floats = f32[10,4]{1,0} convert(%taken)
}

%body (state: (f32[10,4], u8[1000,4], s32[10])) -> (f32[10,4], u8[1000,4], s32[10]) {
  %state = (f32[10,4]{1,0}, u8[1000,4]{1,0}, s32[10]{0}) parameter(0)
  %x = f32[10,4]{1,0} get-tuple-element(%state), index=0
  %set.1 = u8[1000,4]{1,0} get-tuple-element(%state), index=1
  %index.1 = s32[10]{0} get-tuple-element(%state), index=2
  %batch = f32[10,4]{1,0} fusion(%set.1, %index.1), kind=kLoop, calls=%rows
  %product = (bf16[10,4]{1,0}, u8[0]{0}) custom-call(%batch, %x), custom_call_target="__cudnn$conv"
  %order = f32[10,4]{1,0} sort(%batch), dimensions={1}, to_apply=%sorted
  ROOT %next = (f32[10,4]{1,0}, u8[1000,4]{1,0}, s32[10]{0}) tuple(%order, %set.1, %index.1)
}

%condition (state.1: (f32[10,4], u8[1000,4], s32[10])) -> pred[] {
  %state.1 = (f32[10,4]{1,0}, u8[1000,4]{1,0}, s32[10]{0}) parameter(0)
  ROOT %true = pred[] constant(true)
}

ENTRY %main (x.1: f32[10,4], set.2: u8[1000,4], index.2: s32[10]) -> f32[10,4] {
  %x.1 = f32[10,4]{1,0} parameter(0)
  %set.2 = u8[1000,4]{1,0} parameter(1)
  %index.2 = s32[10]{0} parameter(2)
  %begin = (f32[10,4]{1,0}, u8[1000,4]{1,0}, s32[10]{0}) tuple(%x.1, %set.2, %index.2)
  %loop = (f32[10,4], u8[1000,4], s32[10]) while(%begin), condition=%condition, body=%body
  ROOT %out = f32[10,4]{1,0} get-tuple-element(%loop), index=0
}
"""


def test_a_loop_counts_its_body():
    module = hlo.parse(MODULE)
    assert hlo.entry(module) == "main"
    assert list(hlo.loops(module)) == [("body", 1)]
    assert hlo.counts(module, "main") == hlo.Counts(0, 0, 0, 0, 0)
    gathered = 10 * 4 + 10 * 4 + 160  # of the set the rows taken; the places; what is written
    product, order = 160 + 160 + 80, 160 + 160
    assert hlo.counts(module, "body") == hlo.Counts(3, gathered + product + order, 1, 0, 0)
    assert hlo.multiplies(module, "body")
    assert not hlo.multiplies(module, "main")


@pytest.mark.parametrize(
    ("precision", "exact"),
    [("{highest,highest,default}", True), ("{highest,default}", False), ("", False)],
)
def test_exact(precision, exact):
    product = f'custom_call_target="__cudnn$conv", operand_precision={precision}'
    assert hlo.exact(MODULE.replace('custom_call_target="__cudnn$conv"', product)) is exact


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("f32[10,4]{1,0}", 160), ("(bf16[3]{0}, pred[])", 7), ("u8[0]{0}", 0), ("f8e4m3fn[4]", 4)],
)
def test_size(text, bytes_):
    assert hlo.size(text) == bytes_
