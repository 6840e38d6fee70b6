"""RAD-ChestCT made small, in exactly the format of its publication: npz files and tables."""

from __future__ import annotations

import csv

import numpy as np

from napari_hirescam.models.label_lists import read_label_list
from napari_hirescam.phantom import make_phantom
from napari_hirescam.volume import Grid, resample, scaling, translation

ABNORMALITIES = (*read_label_list("radchest-83"), "other_disease")
LOCATIONS = (
    *("left_upper", "left_mid", "left_lower", "right_upper", "right_mid", "right_lower"),
    *("right_lung", "left_lung", "lung", "airways"),
    *("heart", "mitral_valve", "aortic_valve", "tricuspid_valve", "pulmonary_valve"),
    *("aorta", "svc", "ivc", "pulmonary_artery", "pulmonary_vein"),
    *("right", "left", "anterior", "posterior", "superior", "inferior", "medial", "lateral"),
    *("interstitial", "subpleural", "centrilobular", "thyroid", "breast", "axilla"),
    *("chest_wall", "rib", "spine", "bone", "mediastinum", "diaphragm", "hilum", "abdomen"),
    *("esophagus", "stomach", "intestine", "liver", "gallbladder", "kidney", "adrenal_gland"),
    *("spleen", "pancreas"),
    "other_location",
)
COLUMNS = tuple(f"{abnormality}*{place}" for abnormality in ABNORMALITIES for place in LOCATIONS)
SPACING_MM = 0.8
PREFIX = {"train": "trn", "valid": "val", "test": "tst"}


def label_table(folder, split, reports, columns=COLUMNS, written=str):
    """Write a table of labels.

    ``reports`` is accession -> the columns that are 1; ``written`` is how 0 and 1 are.
    """
    path = folder / f"img{split}_Abnormality_and_Location_Labels.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["NoteAcc_DEID", *columns])
        for accession, told in reports.items():
            assert set(told) <= set(columns)
            writer.writerow([accession, *(written(int(name in told)) for name in columns)])
    return path


def metadata(folder, patients, shapes=None):
    """Write the table of metadata: accession -> patient, accession -> shape of its scan."""
    path = folder / "CT_Scan_Metadata_Complete_35747.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        names = [
            *("VolumeAcc_DEID", "NoteAcc_DEID", "MRN_DEID", "Set_Assigned", "Subset_Assigned"),
            *("orig_orientation", "final_square", "final_numslices", "final_spacing"),
        ]
        writer = csv.writer(stream)
        writer.writerow(names)
        for accession, patient in patients.items():
            shape = (shapes or {}).get(accession, ("", "", ""))
            row = [f"{accession}.npz", accession, patient, "imgtrain", "imgtrain"]
            writer.writerow([*row, "1,0,0,0,1,0", shape[1], shape[0], "0.8"])
    return path


def scan(folder, accession, voxels):
    """Write a scan: one array ``ct``, int16 HU clipped to +-1000, as many rows as columns."""
    assert voxels.shape[1] == voxels.shape[2]
    np.savez_compressed(
        folder / f"{accession}.npz", ct=np.clip(voxels, -1000, 1000).astype(np.int16)
    )


def at_08_mm(volume, shape):
    """Cut the middle out of a volume, at 0.8 mm."""
    middle = [-(n - 1) / 2 for n in shape]
    target = Grid(shape, scaling((SPACING_MM,) * 3) @ translation(middle))
    return resample(volume.voxels, volume.affine, target, outside=-1000)


#: What a report says of a phantom's finding: columns that are 1, given the side.
REPORTED = {
    "mass": "mass*{side}_lower",
    "consolidation": "consolidation*{side}_lung",
    "pleural_effusion": "pleural_effusion*{side}_lung",
    "cardiomegaly": "cardiomegaly*heart",
    "pericardial_effusion": "pericardial_effusion*heart",
}


def cohort(folder, train=4, valid=2, test=2, shape=(96, 104, 104), seed=0):
    """Make a whole data set of phantoms, with their true labels, and say what was reported.

    The chest is cut small: what lies beyond some 80 mm is missing, as no patient's would be.
    """
    rng = np.random.default_rng(seed)
    told = {}
    patients = {}
    shapes = {}
    number = 0
    for split, count in {"train": train, "valid": valid, "test": test}.items():
        reports = {}
        for k in range(count):
            accession = f"{PREFIX[split]}{k + 1:05d}"
            # Every other case has each finding, so that none is absent or present throughout.
            names = list(REPORTED)
            findings = [name for j, name in enumerate(names) if (k + j) % 2]
            phantom = make_phantom(number, findings, spacing_mm=(6.0, 6.0, 6.0))
            reports[accession] = []
            for name in findings:
                mask = phantom.findings[name]
                for side in ("left", "right"):
                    here = (mask & phantom.organs[f"{side}_lung"]).any()
                    if "{side}" not in REPORTED[name] or here:
                        reports[accession].append(REPORTED[name].format(side=side))
            scan(folder, accession, at_08_mm(phantom.volume, shape))
            patients[accession] = f"mrn{rng.integers(10**5):05d}-{number}"
            shapes[accession] = shape
            number += 1
        label_table(folder, split, reports)
        told |= reports
    metadata(folder, patients, shapes)
    return told
