"""Tests of the simulated upstreams."""
