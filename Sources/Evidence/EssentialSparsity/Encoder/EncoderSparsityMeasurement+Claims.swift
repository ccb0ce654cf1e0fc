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

    /// Places of the grid's sparsities up to the knee; the first at least.
    private var upToKnee: [Int] {
        let limit = knee?.breakpoint ?? 0
        return EssentialSparsity.tenths.indices.filter { $0 == 0 || EssentialSparsity.sparsities[$0] <= limit + 1e-9 }
    }

    /// Mean over seeds of the one-shot mask's error less the iterative one's, in points.
    func iterativeGap(at place: Int) -> Double {
        (tuned(Label.global).meanLoss(at: place + 1)
            - SeedStatistics(trials.map { $0.iterative[place].error }).mean) * 100
    }

    func cosine(at place: Int) -> Double { SeedStatistics(trials.map { $0.iterative[place].agreement.cosine }).mean }

    private var lotteryTickets: Claim {
        let last = upToKnee.last ?? 0
        let agreement = trials.map { $0.iterative[last].agreement }
        let jaccard = SeedStatistics(agreement.map(\.jaccard)).mean
        let expected = SeedStatistics(agreement.map(\.expectedCosine)).mean
        return EncoderClaim.lotteryTickets.measured(
            [
                Comparison(
                    "difference of accuracies, largest for s ≤ s_k",
                    upToKnee.map { abs(iterativeGap(at: $0)) }.largestNumber, .atMost, 1, unit: "points"),
                Comparison(
                    "cosine for s ≤ s_k / cosine at s = 0.1, least",
                    upToKnee.map { cosine(at: $0) / cosine(at: 0) }.leastNumber, .atLeast, 0.9),
            ],
            remark: "At s = \(MarkupText.number(EssentialSparsity.sparsities[last])): cosine "
                + "\(MarkupText.number(cosine(at: last), digits: 3)), Jaccard "
                + "\(MarkupText.number(jaccard, digits: 3)); two random masks have a cosine of "
                + "\(MarkupText.number(expected, digits: 3)).")
    }

    private var patterns: Claim {
        let fit = tuned(Label.groupsOfEight).meanCurve?.kneeFit()
        let halves = [(Label.groupsOfTwo, "1:2", 1), (Label.groupsOfFour, "2:4", 2), (Label.groupsOfEight, "4:8", 4)]
        let accuracies = halves.map { label, name, place in
            "\(name) \(MarkupText.percent(1 - tuned(label).meanLoss(at: place)))"
        }
        return EncoderClaim.patterns.measured(
            [Comparison("slope after / slope before", fit?.slopeRatio ?? .nan, .atLeast, 5)],
            remark:
                "Knee at sparsity \(MarkupText.number(fit?.breakpoint ?? .nan, digits: 3)). Accuracy with half of the "
                + "weights: " + accuracies.joined(separator: ", ") + "; without a pattern "
                + "\(MarkupText.percent(1 - tuned(Label.global).meanLoss(at: 5))).")
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

    private static let decays: [(EncoderPretraining.Kind, String)] = [(.masked, "decay 0"), (.decayed, "decay 0.1")]

    private var nearZero: Claim {
        let comparisons = Self.decays.map { kind, name in
            let course = nearZeroCourse(kind)
            return Comparison.largerShare(
                "share of |w| < 0.1 × RMS, last − first, \(name)", course.last ?? .nan, than: course.first ?? .nan,
                of: prunableCount * trials.count)
        }
        let shares = EncoderPretraining.Kind.allCases.map { kind in
            "\(kind.rawValue) \(MarkupText.percent(nearZeroCourse(kind).last ?? .nan, places: 2))"
        }
        return EncoderClaim.nearZero.measured(
            comparisons,
            remark: "At first \(MarkupText.percent(nearZeroCourse(.masked).first ?? .nan, places: 2)) (normal), at the "
                + "end: " + shares.joined(separator: "; ") + ".")
    }

    /// The largest rise between checkpoints over the mean one; NaN where the share does not rise.
    func abruptness(_ kind: EncoderPretraining.Kind) -> Double {
        let course = nearZeroCourse(kind)
        guard let first = course.first, let last = course.last, last > first, course.count > 1 else { return .nan }
        let largest = zip(course, course.dropFirst()).map { $1 - $0 }.max() ?? .nan
        return largest / ((last - first) / Double(course.count - 1))
    }

    private var abrupt: Claim {
        let steps = pretrainings(.masked).first?.checkpoints.map(\.step) ?? []
        let courses = Self.decays.map { (nearZeroCourse($0.0), $0.1) }
        let comparisons = zip(Self.decays, courses).flatMap { decay, course -> [Comparison] in
            // The interval of the largest rise begins here.
            let rises = zip(course.0, course.0.dropFirst()).map { $1 - $0 }
            let start = rises.indices.max { rises[$0] < rises[$1] }
            return [
                Comparison("largest rise / mean rise, \(decay.1)", abruptness(decay.0), .atLeast, 3),
                Comparison(
                    "step at which it begins, \(decay.1)", start.map { Double(steps[$0]) } ?? .nan, .above, 0),
            ]
        }
        let changes = courses.map { course, name -> String in
            guard let change = ChangePoint(course) else { return "\(name): no change" }
            return "\(name): largest jump up to step \(steps[change.largestJumpIndex]), cumulative sum at step "
                + "\(steps[change.cumulativeSumIndex])"
        }
        return EncoderClaim.abrupt.measured(comparisons, remark: changes.joined(separator: "; ") + ".")
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
        let shares = [EncoderPretraining.Kind.masked, .supervised].map { nearZeroCourse($0).last ?? .nan }
        let told = SeedStatistics(pretrainings(.supervised).compactMap(\.accuracy)).percent
        let tuned = tuned(.supervised).accuracy(at: 0)
        return EncoderClaim.selfSupervised.measured(
            [
                .largerShare(
                    "share of |w| < 0.1 × RMS, self-supervised − supervised", shares[0], than: shares[1],
                    of: prunableCount * trials.count)
            ],
            remark: "Supervised: which collection a window is from, the same texts, steps and rates; right on "
                + "\(told) % of held-out windows (guessing: 33 %). Fine-tuned it is right on \(tuned) %: where that is "
                + "near guessing, its s_τ says nothing.")
    }
}
