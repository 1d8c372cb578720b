# SPDX-License-Identifier: Apache-2.0
"""What cases and tables say, without any engine: `python3 table_test.py`."""

import unittest

import cases
import ours
import table
import turns


def side(engine, form, *rounds, difference=1e-6):
    middle = sorted(rounds)[len(rounds) // 2]
    return {"engine": engine, "form": form, "rounds": list(rounds), "images_per_second": middle, "difference": difference}


def row(*sides, failures=()):
    common = {"network": "resnet20", "work": "infer", "images": 64, "threads": 2, "case": "4x1 90"}
    times = [{"nearest": 27.0, "farthest": 30.0}, {"nearest": 158.0, "farthest": 166.0}]
    return common | {"sides": list(sides), "failures": list(failures), "hand_over_ns": times}


OURS = side(table.OURS, "4x1 90", 300.0, 330.0, 300.0)
SLOW, FAST, OTHER = side("A", "eager", 90.0), side("A", "compiled", 120.0), side("B", "dense", 100.0)


class Table(unittest.TestCase):
    def test_ratio_is_against_the_fastest_form_of_all_peers(self):
        both = row(OURS, SLOW, FAST, OTHER)
        self.assertEqual(table.fastest(both), FAST)
        self.assertEqual(table.fastest(both, "B"), OTHER)
        self.assertIsNone(table.fastest(both, "C"))
        self.assertAlmostEqual(table.ratio(both), 2.5)

    def test_without_ours_there_is_no_ratio(self):
        alone = row(SLOW, OTHER)
        self.assertIsNone(table.ratio(alone))
        self.assertEqual(table.cells(alone, ["A"]), ["resnet20 4x1 90 %", "64 on 2", "-", "90.0", "B, dense", "-"])

    def test_spread_is_over_the_median(self):
        self.assertAlmostEqual(table.spread(OURS), 0.1)

    def test_page_has_a_line_for_each_row_and_each_failure(self):
        machine = {"processor": "P", "processors": 2, "simd": "avx512", "peak_gflops": {"1": 118.0, "2": 235.0}}
        head = {"machine": machine, "versions": {"B": "2", "A": "1"}, "skipped": ["C: none"], "rounds": 3, "seconds": 0.3}
        page = table.page(head | {"rows": [row(OURS, FAST, OTHER, failures=["D: broken"])]})
        self.assertIn("| resnet20 4x1 90 % | 64 on 2 | 300 | 120 | 100 | A, compiled | **2.50** |", page)
        self.assertIn("- not run: C: none\n- not run: D: broken\n", page)
        self.assertIn("118 GFLOP/s on 1, 235 GFLOP/s on 2, an atomic handed to another core in 27 to 166 ns", page)
        self.assertIn("A 1, B 2", page)
        self.assertNotIn("training step", page)


    def test_coarse_rounding_is_told_once_for_a_form_at_its_worst(self):
        rows = [row(OURS, FAST, side("C", "dense", 1.0, difference=off)) for off in (2e-3, 4e-3, 1e-5)]
        self.assertEqual(table.coarse({"rows": rows}), ["C, dense differs by 4.0e-03 of the largest logit from float64"])


class Result(unittest.TestCase):
    def test_the_machine_has_the_highest_peak_of_all_groups(self):
        result = {"machine": {}, "rows": []}
        for peaks in ([(1, 100.0), (1, 118.0)], [(2, 235.0), (1, 90.0)]):
            own = ours.Ours("espalier", "log")
            own.machine, own.peaks = {"simd": "avx512"}, peaks
            turns.add(result, [row(OURS, FAST)], own)
        self.assertEqual(result["machine"]["peak_gflops"], {"1": 118.0, "2": 235.0})
        self.assertEqual(result["machine"]["simd"], "avx512")
        self.assertEqual(len(result["rows"]), 2)


class Cases(unittest.TestCase):
    def test_names_tell_what_is_removed(self):
        self.assertEqual([cases.sparsity(case) for case in cases.ALL], [0.0, 0.9, 0.95, 0.9, 0.95])
        self.assertEqual([cases.block(case) for case in cases.ALL], [1, 1, 1, 4, 4])

    def test_one_image_has_one_thread_and_batches_have_all(self):
        made = cases.groups(["resnet20"], ["infer", "train"], 8, ["dense", "4x1 90"])
        self.assertEqual([(g.images, g.threads) for g in made[:-1]], [(1, 1), (1, 1), (64, 8), (64, 8)])
        self.assertEqual((made[-1].cases, made[-1].threads), (("dense", "4x1 90"), 8))

    def test_what_is_not_trained_has_no_group(self):
        self.assertEqual(cases.groups(["resnet50"], ["train"], 8), [])
        self.assertEqual(cases.groups(["vgg16"], ["train"], 8, ["4x1 95"]), [])

    def test_a_group_has_a_row_for_each_case(self):
        group = cases.groups(["vgg16"], ["train"], 8)[0]
        self.assertEqual(table.keys(group)[1], ("vgg16", "train", cases.TRAIN_BATCH, "90"))


if __name__ == "__main__":
    unittest.main()
