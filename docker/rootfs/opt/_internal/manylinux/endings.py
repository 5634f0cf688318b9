"""When interpreters leave the images that upstream no longer maintains; from docker/deprecations.toml."""

# begin endings: written by `nox -s render`
ENDINGS = {
    "cp38-cp38": "2027-10-07",
    "cp39-cp39": "2028-10-31",
    "cp310-cp310": "2029-10-31",
    "pp39-pypy39_pp73": "2027-05-01",
    "pp310-pypy310_pp73": "2028-03-01",
}
# end endings
