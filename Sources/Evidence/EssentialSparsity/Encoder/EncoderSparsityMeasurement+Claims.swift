import CoppiceCompression

extension EncoderSparsityMeasurement {
    /// The claims that only training can judge, judged.
    package var claims: [Claim] {
        [
            sharpDrop, magnitudeBeatsRandom, lotteryTickets, patterns, control, nearZero, abrupt, moreData,
            selfSupervised,
        ]
    }

    /// The same without data to train on.
    static var openClaims: [Claim] {
        EncoderClaim.allCases.map {
            $0.notMeasured("needs models that are trained here, on the texts of a data folder (--data)")
        }
    }

    private var sharpDrop: Claim {
        let (dense, untrained) = (tuned(Label.global).accuracy(at: 0), fresh(Label.global).accuracy(at: 0))
        return EncoderClaim.sharpDrop.measured(
            [
                Comparison("slope after / slope before", knee?.slopeRatio ?? .nan, .atLeast, 5),
                Comparison("knee", knee?.breakpoint ?? .nan, .above, 0, unit: "sparsity"),
            ],
            remark:
                "Dense accuracy \(dense) %, of the same network from initial weights \(untrained) %, "
                + "of guessing 50 %.")
    }

    private var magnitudeBeatsRandom: Claim {
        let tested = EssentialSparsity.tenths.filter { $0 >= 2 }
        let tuned = [(Label.random, "random"), (Label.randomErdosRenyi, "random ERK")].map { label, name in
            Comparison(
                "error of \(name) − magnitude, least over s ≥ 0.2",
                tested.map { self.tuned(label).gap(to: self.tuned(Label.global), at: $0) * 100 }.leastNumber, .atLeast,
                0, unit: "points")
        }
        let gaps = EssentialSparsity.tenths.map {
            zeroShot(.masked, Label.random).gap(to: zeroShot(.masked, Label.global), at: $0)
        }
        return EncoderClaim.magnitudeBeatsRandom.measured(
            tuned + [
                Comparison(
                    "loss without fine-tuning of random − magnitude, least over s ≥ 0.2",
                    Array(gaps.dropFirst()).leastNumber, .atLeast, 0, unit: "nats"),
                Comparison("the same at s = 0.4", gaps[3], .atLeast, 0.1, unit: "nats"),
            ])
    }

    private var lotteryTickets: Claim {
        EncoderClaim.lotteryTickets.measured(
            lotteryComparison.comparisons(), remark: lotteryComparison.remark + ".")
    }

    private var patterns: Claim {
        let fit = patternCurves.knee
        return EncoderClaim.patterns.measured(
            [Comparison("slope after / slope before", fit?.slopeRatio ?? .nan, .atLeast, 5)],
            remark:
                "Knee at sparsity \(MarkupText.number(fit?.breakpoint ?? .nan, digits: 3)). Accuracy with half of the "
                + "weights: \(patternCurves.halves).")
    }

    private var control: Claim {
        func difference(_ series: (String) -> [SparsityReport.Series]) -> Double {
            EssentialSparsity.coarseSparsities.indices.map {
                abs(series(Label.random).gap(to: series(Label.global), at: $0 + 1)) * 100
            }.largestNumber
        }
        let pretrained = EssentialSparsity.coarseSparsities.map { sparsity in
            let place = Int((sparsity * 10).rounded())
            return tuned(Label.random).gap(to: tuned(Label.global), at: place) * 100
        }
        return EncoderClaim.control.measured(
            [
                Comparison("largest difference, fine-tuned alike", difference(fresh), .atMost, 2, unit: "points"),
                Comparison(
                    "largest difference, trained for \(size.controlSteps) steps", difference(freshTrained), .atMost, 2,
                    unit: "points"),
            ],
            remark:
                "At s = 0.2, 0.4, 0.6, 0.8. Dense accuracy from initial weights \(fresh(Label.global).accuracy(at: 0)) %, "
                + "trained for longer \(freshTrained(Label.global).accuracy(at: 0)) %. From pre-trained weights magnitude "
                + "leads by up to \(MarkupText.number(pretrained.largestNumber, digits: 3)) points.")
    }

    /// Those of gaps in all texts, with weight decay 0 and 0.1.
    private var decays: [PretrainingCourse] { [course(.masked), course(.decayed)] }

    private var nearZero: Claim {
        EncoderClaim.nearZero.measured(
            decays.flatMap { $0.rises(of: prunableCount) }, remark: courses.map(\.summary).joined(separator: "; ") + "."
        )
    }

    private var abrupt: Claim {
        EncoderClaim.abrupt.measured(
            decays.flatMap(\.risesAbruptly), remark: decays.map(\.changes).joined(separator: "; ") + ".")
    }

    private var moreData: Claim {
        EncoderClaim.moreData.measured(
            [
                Comparison(
                    "s_τ of all − of \(MarkupText.percent(size.lessData)) of the texts, fine-tuned",
                    tuned(.masked).toleranceLead(over: tuned(.lessData)), .atLeast, 0, unit: "sparsity"),
                Comparison(
                    "the same without fine-tuning",
                    zeroShot(.masked, Label.global).toleranceLead(over: zeroShot(.lessData, Label.global)), .atLeast, 0,
                    unit: "sparsity"),
            ],
            remark: "Held-out loss of gaps \(MarkupText.number(zeroShot(.masked, Label.global).meanLoss(at: 0))) and "
                + "\(MarkupText.number(zeroShot(.lessData, Label.global).meanLoss(at: 0))) nats.")
    }

    private var selfSupervised: Claim {
        let told = SeedStatistics(pretrainings(.supervised).compactMap(\.accuracy)).percent
        let tuned = tuned(.supervised).accuracy(at: 0)
        return EncoderClaim.selfSupervised.measured(
            course(.masked).leads(over: course(.supervised), of: prunableCount),
            remark: "Supervised: which collection a window is from, the same texts, steps and rates; right on "
                + "\(told) % of held-out windows (guessing: 33 %). Fine-tuned it is right on \(tuned) %: where that is "
                + "near guessing, its s_τ says nothing.")
    }
}
