"""Outliers: images far from the others, even if several are alike."""

import numpy as np
import torch

from graft.audit.outliers import outliers
from graft.audit.vectors import Vectors


def directions(values: torch.Tensor) -> Vectors:
    unit = torch.nn.functional.normalize(values)
    return Vectors(unit.numpy(), unit, True, "directions")


def test_odd_images_are_found_although_they_are_alike():
    usual = torch.randn(400, 20) * 0.1 + torch.eye(20)[0]
    odd = torch.randn(8, 20) * 0.01 + torch.eye(20)[1]
    found = outliers(directions(torch.cat([usual, odd])), np.arange(408))
    assert {place for place, _ in found} == set(range(400, 408))
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def test_images_of_one_kind_have_few_and_few_images_none():
    usual = directions(torch.randn(2000, 20) * 0.1 + torch.eye(20)[0])
    assert len(outliers(usual, np.arange(2000))) <= 20
    assert outliers(usual, np.arange(49)) == []
    assert outliers(directions(torch.ones(100, 3)), np.arange(100)) == []


def test_places_are_those_of_all_images():
    usual = torch.randn(200, 20) * 0.1 + torch.eye(20)[0]
    usual[150] = torch.eye(20)[1]
    found = outliers(directions(usual), np.arange(0, 200, 2))
    assert [place for place, _ in found] == [150]
