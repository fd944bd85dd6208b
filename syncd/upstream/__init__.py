"""One account at one API: signs, charges, sends, retries and judges requests; keeps the request budget."""
