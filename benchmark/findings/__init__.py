"""What finished runs found, in two pages: the sentences say what the verdicts say, and no more.

`runs` reads the tables, `standing` joins the verdicts on a score into one by the rule of
`docs/protocol.md`, `trends` has the rises that no control was held against, `power` what a
difference must be to be seen. `headline`, `retraining`, `maps`, `manifold`, `trust`, `power` and
`scale` turn them into sentences, `report` puts these together with the figures.

That a score *rises with adversarial training* is written by `sentences.claim` alone, for series in
which it survives every control under both fills. What goes up before controls, or has no controls,
is said to *go up with attack strength*.
"""
