"""What `syncd check` looks at, each part from nearer to farther: configuration, tables, rows, upstreams."""
