"""Small faults in what decides, one at a time: does a test of that module notice each?

`python -m scripts.mutation` copies the tree as it stands into a scratch folder for each module, has mutmut write all
changed functions next to the right ones there, and runs the module's own tests once for each change (`changed`). A
module passes when at least nine of ten changes are noticed, and `explained.toml` says of each other one why no test can
notice it, or need not. What is left is shown: a promise is missing, or there is code that no promise needs.

`--only folding` takes the modules whose path has this in it, `--changes '*_fold__*'` only the changes of such a name.
"""
