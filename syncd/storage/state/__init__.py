"""The tables of schema `syncd`: runs, cursors, rejects, drift, retention."""
