"""From JSON as sent to rows. No I/O and no clock.

readers   what sources use: they import nothing else of this room
page      what can be read of a page without the database
parser    records of one table to rows, keys and fingerprints; it uses the two readers below
strict    reads what is exactly as documented, a whole page at once
lenient   reads one record field by field, whatever it holds
recipe    what of a table decides how its records become rows; part of every fingerprint
presplit  a large answer into its members, step by step
giant     the elements of a large array, of which one chunk at a time is read
split     an answer into its members, an array into its elements
shallow   the same for JSON that is nested too deeply for a decoder
rows      what comes out: Row, Columns, Reject, Note
values    single values
privacy   what is left out or hashed, and who was forgotten
"""
