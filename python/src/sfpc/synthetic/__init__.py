"""Synthetic children with a known truth, written as the files that a researcher or an LA would hold."""
