"""A round's concept for other programs: one file or folder a format, written whole or not at all.

Add a format: a function from an `Export` and a draft path to the sentences on what the format leaves out, and a row in
`formats.FORMATS`.
"""
