"""The one door out (DP.5): what may be released, in which form, and the only code that writes outputs/release.

tables says what is offered, profiles by which rules it is judged, masks hides small cells, audit proves by linear and
integer programming that nothing hidden can be worked out, ledger remembers every released cell, door writes the bundle.
Page: docs/disclosure.md.
"""
