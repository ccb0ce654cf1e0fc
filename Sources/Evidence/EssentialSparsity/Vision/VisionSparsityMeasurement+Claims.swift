import CoppiceCompression

extension VisionSparsityMeasurement {
    /// The claims about vision transformers, judged.
    package var claims: [Claim] { [sharpDrop, magnitudeBeatsRandom, control, selfSupervised] }

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
        let tested = EssentialSparsity.tenths.filter { $0 >= 2 }
        return VisionSparsityClaim.magnitudeBeatsRandom.measured(
            Kind.allCases.map { kind in
                Comparison(
                    "error of random − magnitude, least over s ≥ 0.2, \(kind.rawValue)",
                    tested.map { points(tuned(kind, Label.random).gap(to: tuned(kind), at: $0)) }.leastNumber,
                    .atLeast, 0, unit: "points")
            })
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
        let shares = [Kind.selfSupervised, .supervised].map { nearZeroShare($0) }
        let first = nearZeroCourse(.supervised).first ?? .nan
        let others = [Kind.selfSupervised, .supervised].map {
            MarkupText.percent(nearZeroShare($0, threshold: 1), places: 3)
        }
        return VisionSparsityClaim.selfSupervised.measured(
            [
                .largerShare(
                    "share of |w| < 0.1 × RMS, self-supervised − supervised", shares[0], than: shares[1],
                    of: prunableCount * trials.count),
                Comparison(
                    "s_τ after fine-tuning, self-supervised − supervised",
                    tuned(.selfSupervised).toleranceLead(over: tuned(.supervised)), .atLeast, 0, unit: "sparsity"),
            ],
            remark:
                "Shares: self-supervised \(MarkupText.percent(shares[0], places: 2)), supervised "
                + "\(MarkupText.percent(shares[1], places: 2)), at first (normal) "
                + "\(MarkupText.percent(first, places: 2)); below 0.01 × RMS \(others[0]) and \(others[1]). s_τ: "
                + "\(Self.shown(tuned(.selfSupervised).tolerancePoint)) and "
                + "\(Self.shown(tuned(.supervised).tolerancePoint)).")
    }

    /// The share that guessing has right.
    private var chance: Double { 1 / Double(classCount) }

    /// A difference of shares in points, the digits of rounding left out: equal counts differ by 0.
    private func points(_ difference: Double) -> Double { (difference * 1e8).rounded() / 1e6 }

    static func shown(_ value: Double) -> String { MarkupText.number(value, digits: 3) }
}
