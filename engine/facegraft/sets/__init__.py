"""What works on whole facesets: orders, reports, changes that can be taken back.

Whatever changes a set does so inside `journal.operation`, which locks the set, notes every change
before it is made and makes all of them or none.
"""
