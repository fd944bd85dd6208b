"""The steps of the writer: what differs from what is stored, new rows, changed rows, and rows that are gone."""
