"""The paper's claims beside what was measured here.

`reference.json` holds the paper's numbers, `claims` compares runs with them and gives a verdict on
each, `document` writes the report.

A claim is judged twice. *Direction*: `yes` where the 95 percent interval excludes zero on the
paper's side, `no` where it excludes zero on the other, `unclear` where it includes zero. *Size*:
`yes` where the paper's number lies in an interval narrow enough to mean something, `unclear` where
it lies in a wide one, `no` where it lies outside. What was not run is `not run`; `-` stands where
the paper makes no such claim.
"""
