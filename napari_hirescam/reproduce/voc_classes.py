"""The twenty classes of PASCAL VOC, and which of ImageNet's thousand are of them."""

from __future__ import annotations

#: In the order of the values 1 to 20 of a segmentation.
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
#: Value of pixels that belong to nothing: borders of objects, and what is too hard to tell.
VOID = 255
N_IMAGENET = 1000

#: VOC class -> positions among the 1000 classes of ILSVRC 2012, in their usual order by WordNet
#: id. Wild relatives (wolves, lynxes, zebras, bison) are of no VOC class.
IMAGENET_OF_VOC: dict[str, tuple[int, ...]] = {
    "aeroplane": (404, 895),  # airliner, warplane
    "bicycle": (444, 671),  # tandem, mountain bike
    "bird": (*range(7, 25), *range(80, 101), *range(127, 147)),
    # canoe, catamaran, container ship, fireboat, gondola, lifeboat, liner, pirate ship,
    # schooner, speedboat, trimaran, yawl
    "boat": (472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 871, 914),
    "bottle": (440, 720, 737, 898, 907),  # beer, pill, pop, water, wine
    "bus": (654, 779, 874),  # minibus, school bus, trolleybus
    # ambulance, beach wagon, cab, convertible, jeep, limousine, minivan, Model T, racer, sports car
    "car": (407, 436, 468, 511, 609, 627, 656, 661, 751, 817),
    "cat": tuple(range(281, 286)),
    "chair": (423, 559, 765),  # barber chair, folding chair, rocking chair
    "cow": (345,),  # ox
    "diningtable": (532,),
    "dog": tuple(range(151, 269)),
    "horse": (339,),  # sorrel
    "motorbike": (665, 670),  # moped, motor scooter
    "person": (981, 982, 983),  # ballplayer, groom, scuba diver
    "pottedplant": (738,),  # flowerpot
    "sheep": (348, 349),  # ram, bighorn
    "sofa": (831,),  # studio couch
    "train": (466, 547, 565, 705, 820),  # bullet, electric, freight, passenger car, steam
    "tvmonitor": (664, 782, 851),  # monitor, screen, television
}
