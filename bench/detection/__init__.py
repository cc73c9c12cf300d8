"""What the judge and its peers do to healthy and to harmful canaries, over many simulated shops.

In come shops (`shops/`, `whole`) and rules (`rules`, `wald`, `kayenta`); out go tables (`table`, `real`,
`speed`) and the pictures of docs/evidence/evidence.md (`plots`).
"""
