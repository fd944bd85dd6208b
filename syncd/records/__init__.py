"""From JSON as sent to rows: the strict decoder, the field-by-field parser, values, privacy. No I/O."""
