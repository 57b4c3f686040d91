"""The tensor names of other projects' networks, mapped to gancomp's."""
