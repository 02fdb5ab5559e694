"""The paper's claims beside what was measured here.

`reference.json` holds the paper's numbers, `claims` compares runs with them, `report` writes the
comparison as Markdown and CSV.

A claim is compared twice. *Direction*: `yes` where the 95 percent interval excludes zero on the
paper's side, `no` where it excludes zero on the other, `unclear` where it includes zero. *Size*:
`yes` where the paper's number lies in an interval that is narrow enough to be informative,
`unclear` where it lies in a wide one, `no` where it lies outside. `not run` stands where no run
measures the claim, `-` where the paper makes no such claim.
"""
