"""Several networks under the same conditions.

`networks` trains them on a text, one after the other; `measurement` measures one of them; `summary` says which differ.
"""
