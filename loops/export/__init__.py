"""Write a round's concept for other programs, one file or folder per format.

To add a format, write a function from an `Export` and a draft path to the sentences on what the
format leaves out. Then add a row to `formats.FORMATS`.
"""
