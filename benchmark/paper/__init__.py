"""The paper's claims beside what was measured here.

`reference.json` holds the paper's numbers, `reference` how exactly they are known, `claims`
compares runs with them, `report` writes the comparison as Markdown and CSV.

A claim is compared twice. *Direction*: `yes` where the 95 percent interval excludes zero on the
paper's side, `no` where it excludes zero on the other, `unclear` where it includes zero. *Size*:
`yes` where the 95 percent interval of the difference between our number and the paper's lies within
a margin, `no` where it does not and the two differ significantly, `unclear` where neither. The
paper's number has an interval too, and a number read off a figure its slack besides. An *order* of
distances is compared over networks from several seeds (`claim.order`). `not run` stands where no
run measures the claim, `-` where the paper makes no such claim.

Claims that are one measurement seen in several ways form a series, which counts once, by the one
claim named beforehand (`Claim.counted`).
"""
