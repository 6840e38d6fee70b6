"""The ranges of the checks against published figures of healthy and of old or fat adults."""

from __future__ import annotations

import pytest

from napari_hirescam.review.checks.anatomy import anatomy_of

# ICRP Publication 89 (2002), reference woman and man, g; tissue weighs about 1 g/mL.
ICRP_89 = {
    "heart": (620, 840),
    "liver": (1400, 1800),
    "spleen": (130, 150),
    "kidney_left": (138, 155),
    "kidney_right": (138, 155),
    "adrenal_gland_left": (6.5, 7.0),
    "pancreas": (120, 140),
    "thyroid_gland": (17, 20),
    "gallbladder": (56, 68),
}
# Means of women and men on CT, mL. Geraghty et al., Abdom Imaging 2004;29:482-490 (149 adults);
# lungs: Cheng et al., Int J COPD 2019;14:1657-1668 (564 adults, 4,468 +- 1,271 mL).
ON_CT = {
    "liver": (1411, 1710),
    "spleen": (179.8, 238.4),
    "kidney_left": (156.5, 193.1),
    "pancreas": (64.4, 87.4),
    "adrenal_gland_left": (4.4,),
    "lungs": (4468, 4468 - 2 * 1271, 4468 + 2 * 1271),
}
# Mean HU, and what of the spread is known. Liver: Int J Legal Med 2019;133:1861-1867 (58.3 +- 8.9;
# with severe steatosis 32.4 +- 13.8). L1, its spongy inside: Jang et al., Radiology
# 2019;291:360-367 (226 +- 44 below 30 years, 89 from 90 years on).
NATIVE_HU = {"liver": (58.3 + 2 * 8.9, 58.3, 32.4 - 2 * 13.8), "vertebrae_L1": (226 + 2 * 44, 89)}


@pytest.mark.parametrize("organ", ICRP_89)
def test_half_and_twice_the_reference_adults_organ_are_no_alarm(organ: str) -> None:
    low, high = anatomy_of(organ).ml
    assert low <= min(ICRP_89[organ]) / 2
    assert high >= max(ICRP_89[organ]) * 2


def test_a_reference_brain_has_room_within_its_skull() -> None:
    low, high = anatomy_of("brain").ml
    assert low < 1300 < 1450 < high


@pytest.mark.parametrize("organ", ON_CT)
def test_volumes_measured_on_ct_lie_inside(organ: str) -> None:
    low, high = anatomy_of(organ).ml
    assert all(low < volume < high for volume in ON_CT[organ])


@pytest.mark.parametrize("organ", NATIVE_HU)
def test_densities_measured_on_native_scans_lie_inside(organ: str) -> None:
    low, high = anatomy_of(organ).mean_hu
    assert all(low < mean < high for mean in NATIVE_HU[organ])


@pytest.mark.parametrize(
    "organ",
    # The three left out grow or shrink tenfold in disease.
    sorted({*ICRP_89, "lungs"} - {"spleen", "thyroid_gland", "gallbladder"}),
)
def test_ten_times_or_a_tenth_is_an_alarm(organ: str) -> None:
    # Wide as they are, a slip of the units must not pass.
    low, high = anatomy_of(organ).ml
    mean = (ICRP_89 | ON_CT)[organ][0]
    assert mean / 10 < low < high < mean * 10
