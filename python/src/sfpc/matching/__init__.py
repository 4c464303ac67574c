"""Matching of local authorities on the trends of an outcome before go-live."""

from sfpc.matching.trends import MatchingSettings, excluded_treatment_las, rank_candidates

__all__ = ["MatchingSettings", "excluded_treatment_las", "rank_candidates"]
