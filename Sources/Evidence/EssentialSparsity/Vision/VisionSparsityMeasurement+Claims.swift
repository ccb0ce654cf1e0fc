import CoppiceCompression

extension VisionSparsityMeasurement {
    /// The claims about vision transformers, judged.
    package var claims: [Claim] {
        [sharpDrop, magnitudeBeatsRandom, lotteryTickets, patterns, control, selfSupervised]
    }

    /// The same without images to train on.
    static var openClaims: [Claim] {
        VisionSparsityClaim.allCases.map {
            $0.notMeasured("needs networks that are trained here, on the images of a data folder (--data)")
        }
    }

    private var sharpDrop: Claim {
        let comparisons = Kind.allCases.flatMap { kind -> [Comparison] in
            let fit = knee(kind)
            return [
                Comparison("slope after / slope before, \(kind.rawValue)", fit?.slopeRatio ?? .nan, .atLeast, 5),
                Comparison("knee, \(kind.rawValue)", fit?.breakpoint ?? .nan, .above, 0, unit: "sparsity"),
            ]
        }
        let accuracies = Kind.allCases.map { kind in
            "\(kind.rawValue) \(tuned(kind).accuracy(at: 0)) %, s_τ \(Self.shown(tuned(kind).tolerancePoint))"
        }
        return VisionSparsityClaim.sharpDrop.measured(
            comparisons,
            remark: "Dense accuracy: " + accuracies.joined(separator: "; ") + "; from initial weights "
                + "\(fresh().accuracy(at: 0)) %, of guessing \(MarkupText.percent(chance)).")
    }

    private var magnitudeBeatsRandom: Claim {
        let fine = EssentialSparsity.sparsities.filter { $0 >= 0.2 }
        let masks = [
            (Label.random, "random", fine, "s ≥ 0.2"),
            (Label.randomErdosRenyi, "random ERK", EssentialSparsity.coarseSparsities, "s = 0.2, 0.4, 0.6, 0.8"),
        ]
        return VisionSparsityClaim.magnitudeBeatsRandom.measured(
            Kind.allCases.flatMap { kind in
                masks.map { label, name, sparsities, tested in
                    Comparison(
                        "error of \(name) − magnitude, least over \(tested), \(kind.rawValue)",
                        sparsities.map { points(tuned(kind, label).gap(to: tuned(kind), near: $0)) }.leastNumber,
                        .atLeast, 0, unit: "points")
                }
            })
    }

    private var lotteryTickets: Claim {
        VisionSparsityClaim.lotteryTickets.measured(
            Kind.allCases.flatMap { lotteryComparison($0).comparisons(", \($0.rawValue)") },
            remark: Kind.allCases.map { "\($0.rawValue): \(lotteryComparison($0).remark)" }.joined(separator: ". ")
                + ".")
    }

    private var patterns: Claim {
        let fits = Kind.allCases.map { (kind: $0, fit: patternCurves($0).knee) }
        return VisionSparsityClaim.patterns.measured(
            fits.map {
                Comparison(
                    "slope after / slope before, \($0.kind.rawValue)", $0.fit?.slopeRatio ?? .nan, .atLeast, 5)
            },
            remark: fits.map {
                "\($0.kind.rawValue): knee at sparsity \(Self.shown($0.fit?.breakpoint ?? .nan)), accuracy with half of "
                    + "the weights \(patternCurves($0.kind).halves)"
            }.joined(separator: "; ") + ".")
    }

    private var control: Claim {
        let places = EssentialSparsity.coarseSparsities.indices.map { $0 + 1 }
        let differences = places.map { abs(points(fresh(Label.random).gap(to: fresh(), at: $0))) }
        let leads = Kind.allCases.map { kind in
            let gaps = EssentialSparsity.coarseSparsities.map { sparsity in
                points(tuned(kind, Label.random).gap(to: tuned(kind), at: Int((sparsity * 10).rounded())))
            }
            return "\(kind.rawValue) \(Self.shown(gaps.largestNumber))"
        }
        return VisionSparsityClaim.control.measured(
            [
                Comparison(
                    "largest difference, fine-tuned alike", differences.largestNumber, .atMost, 2, unit: "points"),
                Comparison(
                    "dense accuracy above guessing", points(1 - fresh().meanLoss(at: 0) - chance), .atLeast, 10,
                    unit: "points"),
            ],
            remark:
                "At s = 0.2, 0.4, 0.6, 0.8. From pre-trained weights magnitude leads by up to, in points: "
                + leads.joined(separator: ", ") + ".")
    }

    private var selfSupervised: Claim {
        return VisionSparsityClaim.selfSupervised.measured(
            course(.selfSupervised).leads(over: course(.supervised), of: prunableCount) + [
                Comparison(
                    "s_τ after fine-tuning, self-supervised − supervised",
                    tuned(.selfSupervised).toleranceLead(over: tuned(.supervised)), .atLeast, 0, unit: "sparsity")
            ],
            remark:
                courses.map(\.summary).joined(separator: "; ") + ". s_τ: "
                + "\(Self.shown(tuned(.selfSupervised).tolerancePoint)) and "
                + "\(Self.shown(tuned(.supervised).tolerancePoint)).")
    }

    /// The share that guessing has right.
    private var chance: Double { 1 / Double(classCount) }

    /// A difference of shares in points, the digits of rounding left out: equal counts differ by 0.
    private func points(_ difference: Double) -> Double { (difference * 1e8).rounded() / 1e6 }

    static func shown(_ value: Double) -> String { MarkupText.number(value, digits: 3) }
}
