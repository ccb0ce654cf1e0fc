import CoppiceCompression
import CoppiceEvidence
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Testing

/// Accuracies of three seeds around a mean.
private func spread<Arm: Hashable & Sendable>(
    _ means: [(arm: Arm, setting: Double, mean: Double)]
) -> ArmAccuracies<Arm> {
    var result = ArmAccuracies<Arm>()
    for own in means {
        for shift in [-0.001, 0, 0.001] { result.add(own.mean + shift, of: own.arm, at: own.setting) }
    }
    return result
}

private func verdict(_ id: String, _ claims: [Claim]) -> Claim.Verdict? { claims.first { $0.id == id }?.verdict }

@Suite struct ArmAccuraciesTests {
    @Test func leadsAreOfMeansInPoints() {
        let found = spread([(arm: "a", setting: 1, mean: 0.8), (arm: "b", setting: 1, mean: 0.75)])
        #expect(abs(found.lead(of: "a", over: "b", at: 1) - 5) < 1e-9)
        #expect(found.lead(of: "a", over: "c", at: 1).isNaN && found.mean("a", at: 2).isNaN)
        #expect(found.accuracies(of: "b", at: 1).count == 3 && found.accuracies(of: "b", at: 3).isEmpty)
    }
}

@Suite struct BilevelPruningEvidenceTests {
    typealias Measurement = BilevelPruningMeasurement

    private func measurement(
        passes: [Measurement.Arm: Int] = [.bilevel: 18, .iterative: 100], filters: FilterComparison? = nil,
        except changed: [Measurement.Arm: Double] = [:]
    ) -> Measurement {
        let kept: [Double] = [0.05, 0.02, 0.01]
        let arms: [(Measurement.Arm, Double)] = [
            (.bilevel, 0.86), (.iterative, 0.86), (.iterativeRetraining, 0.86), (.rewound, 0.86),
            (.rewoundRetraining, 0.86), (.learnedScores, 0.85), (.magnitude, 0.8), (.snip, 0.84), (.grasp, 0.85),
            (.synflow, 0.84), (.random, 0.6),
        ]
        let ablations: [(Measurement.Arm, Double)] = [
            (.alternating, 0.859), (.gamma10, 0.855), (.gamma100, 0.865), (.sameBatches, 0.855),
        ]
        var means = arms.flatMap { arm, mean in kept.map { (arm: arm, setting: $0, mean: changed[arm] ?? mean) } }
        for (arm, mean) in ablations { means.append((arm: arm, setting: 0.02, mean: changed[arm] ?? mean)) }
        return Measurement(dense: [0.87, 0.872, 0.871], accuracies: spread(means), passes: passes, filters: filters)
    }

    private func filters(
        bilevel: Double = 0.8, channels: Double = 0.8, left: Double = 0.3, difference: Double = 9e-6
    ) -> FilterComparison {
        let means = [
            (arm: FilterComparison.Arm.bilevel, setting: 0.5, mean: bilevel), (.channels, 0.5, channels),
            (.norm, 0.5, 0.79),
        ]
        return FilterComparison(
            dense: [0.81], accuracies: spread(means), multiplications: [0.9: 0.8, 0.5: left, 0.1: 0.02],
            difference: difference)
    }

    @Test func filtersAreJudgedByAccuracyCostAndEquality() {
        #expect(verdict("structured", measurement().claims) == .notMeasured)
        #expect(verdict("sliced-latency", measurement(filters: filters()).claims) == .notMeasured)
        #expect(verdict("structured", measurement(filters: filters()).claims) == .holds)
        #expect(verdict("structured", measurement(filters: filters(bilevel: 0.78)).claims) == .doesNotHold)
        #expect(verdict("structured", measurement(filters: filters(channels: 0.78)).claims) == .doesNotHold)
        #expect(verdict("structured", measurement(filters: filters(left: 0.7)).claims) == .doesNotHold)
        #expect(verdict("structured", measurement(filters: filters(difference: 1.1e-5)).claims) == .doesNotHold)
    }

    /// Of two channels the one whose maps have the higher rank has the larger score, whatever their size.
    @Test func mapsOfLowRankScoreLeast() throws {
        let network = try VisionArchitecture(named: "vgg9-bn", classes: 3, widthMultiplier: 2.0 / 64)
            .makeNetwork(seed: 1)
        let (name, first) = network.parameters[0]
        #expect(name == "features.0.weight" && first.wrappedValue.shape == [2, 3, 3, 3])
        // The centre of the first filter sees all of the image's first channel; the second one's all of its second.
        var filters = [Float](repeating: 0, count: 2 * 27)
        filters[4] = 100
        filters[27 + 9 + 4] = 0.01
        first.wrappedValue = Tensor(filters, shape: [2, 3, 3, 3])
        var pixels = [Float](repeating: 0, count: 2 * 3 * 1_024)
        for image in 0..<2 {
            for place in 0..<1_024 {
                let (row, column) = place.quotientAndRemainder(dividingBy: 32)
                // Rank 1, and a diagonal of so many ones.
                pixels[image * 3_072 + place] = Float(1 + row)
                pixels[image * 3_072 + 1_024 + place] = row == column && row < (image == 0 ? 7 : 12) ? 1 : 0
            }
        }
        let batch = LabeledBatch(inputs: Tensor(pixels, shape: [2, 3, 32, 32]), targets: Tensor([0, 1]))
        let groups = try ChannelGroups(of: network, example: .zeros([2, 3, 32, 32]))
        let scores = try FeatureMapRank().scores(of: groups, in: network, on: [batch])
        let place = try #require(groups.groups.firstIndex { $0.name == "features.0" })
        #expect(scores[place] == [1, 9.5])
        #expect(zip(scores, groups.groups).allSatisfy { $0.count == $1.count && $0.allSatisfy { $0 >= 0 } })
        // Residual blocks hold several convolutions in one step.
        let residual = try VisionArchitecture(named: "resnet8", widthMultiplier: 0.25).makeNetwork(seed: 1)
        let others = try ChannelGroups(of: residual, example: .zeros([2, 3, 32, 32]))
        #expect {
            try FeatureMapRank().scores(of: others, in: residual, on: [batch])
        } throws: { "\($0)".contains("one convolution") }
    }

    @Test func claimsFollowFromTheNumbers() {
        let good = measurement().claims
        let measured = good.filter { $0.verdict != .notMeasured }
        #expect(measured.allSatisfy { $0.verdict == .holds } && measured.count == 9)
        /// The claims that a change makes fail.
        func failing(_ changed: [Measurement.Arm: Double]) -> Set<String> {
            Set(measurement(except: changed).claims.filter { $0.verdict == .doesNotHold }.map(\.id))
        }
        #expect(failing([.iterative: 0.8629, .rewound: 0.8629]) == [])
        #expect(failing([.iterative: 0.8631]) == ["as-good-as-iterative"])
        #expect(failing([.iterativeRetraining: 0.8631]) == ["as-good-as-iterative"])
        #expect(failing([.rewound: 0.8631]) == ["as-good-as-rewound"])
        #expect(failing([.rewoundRetraining: 0.8631]) == ["as-good-as-rewound"])
        for arm in [Measurement.Arm.snip, .grasp, .synflow] {
            #expect(failing([arm: 0.861]) == ["above-early-pruning"])
        }
        #expect(failing([.learnedScores: 0.856]) == ["above-learned-scores"])
        #expect(failing([.magnitude: 0.82]) == ["above-one-shot-magnitude"])
        #expect(failing([.bilevel: 0.85]).contains("near-dense"))
        #expect(failing([.alternating: 0.861]) == ["implicit-term"])
        // Far off in either direction.
        for arm in [Measurement.Arm.gamma10, .gamma100] {
            for mean in [0.849, 0.871] { #expect(failing([arm: mean]) == ["insensitive"]) }
        }
        #expect(failing([.sameBatches: 0.849]) == ["insensitive"])
        let costly: [Measurement.Arm: Int] = [.bilevel: 21, .iterative: 100]
        #expect(verdict("cheaper-than-iterative", measurement(passes: costly).claims) == .doesNotHold)
    }

    @Test func armsAreBilevelPruningButForOneThing() {
        func options(_ arm: Measurement.Arm) -> [String] {
            var own = BilevelPruning.Options(kept: 0.02, steps: 100)
            own.maskRate = 1
            arm.change(&own)
            return [
                "lower \(own.lowerSteps)", "\(own.implicitGradient)", "\(own.order)", "γ \(own.regularization)",
                "β \(own.maskRate)", "\(own.scoreScale)",
            ]
        }
        let usual = ["lower 1", "formula", "lowerFirst", "γ 1.0", "β 1.0", "raw"]
        for arm in [Measurement.Arm.bilevel, .sameBatches] { #expect(options(arm) == usual) }
        let changes: [(Measurement.Arm, [String])] = [
            (.learnedScores, ["lower 0", "none"]), (.alternating, ["none"]), (.masksFirst, ["none", "upperFirst"]),
            (.releasedTerm, ["code"]), (.gamma10, ["γ 10.0"]), (.gamma100, ["γ 100.0"]), (.slowMasks, ["β 0.1"]),
            (.layerScale, ["layer"]),
        ]
        for (arm, expected) in changes { #expect(options(arm).filter { !usual.contains($0) } == expected) }
    }

    @Test func whatIsMissingDoesNotHold() {
        let empty = Measurement(dense: [], accuracies: ArmAccuracies(), passes: [:])
        #expect(empty.claims.allSatisfy { $0.verdict != .holds })
    }

    @Test func itNeedsAFolderOfData() {
        let setting = ExperimentSetting(languageModel: { throw CoppiceError(.internal, "not asked for") })
        for experiment in [BilevelPruningExperiment() as any Experiment, LotteryJackpots(), MFACExperiment()] {
            let error = #expect(throws: CoppiceError.self) { try experiment.run(setting, progress: SilentProgress()) }
            #expect(error?.description.contains("--data") == true)
        }
    }
}

@Suite struct LotteryJackpotsEvidenceTests {
    typealias Measurement = LotteryJackpotsMeasurement

    private func measurement(
        magnitude: Double = 0.6, jackpot: Double = 0.85, trained: Double = 0.86, random: Double = 0.84,
        shared: Double = 0.8, snip: Double = 0.5, changed: Int = 0
    ) -> Measurement {
        let arms: [(Measurement.Arm, Double)] = [
            (.magnitude, magnitude), (.firstEpoch, 0.82), (.jackpot, jackpot), (.unrestricted, 0.85),
            (.randomFirstEpoch, 0.7), (.randomStart, random), (.fineTuned, trained),
        ]
        let overlaps: [(Measurement.Reference, Double)] = [(.magnitude, shared), (.snip, snip), (.random, 0.1)]
        let sparsities: [Double] = [0.9, 0.95]
        return Measurement(
            dense: [0.87, 0.87, 0.87],
            accuracies: spread(arms.flatMap { arm, mean in sparsities.map { (arm: arm, setting: $0, mean: mean) } }),
            overlaps: spread(
                overlaps.flatMap { other, mean in sparsities.map { (arm: other, setting: $0, mean: mean) } }),
            changedWeights: changed)
    }

    @Test func claimsFollowFromTheNumbers() {
        let measured = measurement().claims.filter { $0.verdict != .notMeasured }
        #expect(measured.allSatisfy { $0.verdict == .holds } && measured.count == 7)
        #expect(verdict("jackpots-exist", measurement(magnitude: 0.76).claims) == .doesNotHold)
        #expect(verdict("jackpots-exist", measurement(magnitude: 0.78).claims) == .notMeasured)
        #expect(verdict("as-good-as-training", measurement(trained: 0.866).claims) == .doesNotHold)
        #expect(verdict("cheaper-from-magnitude", measurement(random: 0.851).claims) == .doesNotHold)
        #expect(verdict("restriction", measurement(jackpot: 0.844).claims) == .doesNotHold)
        #expect(verdict("like-magnitude", measurement(shared: 0.55).claims) == .doesNotHold)
        #expect(verdict("like-magnitude", measurement(snip: 0.81).claims) == .doesNotHold)
        #expect(verdict("weights-stay", measurement(changed: 1).claims) == .doesNotHold)
    }

    @Test func residualNetworksAreJudgedAlike() {
        func claim(magnitude: Double = 0.6, jackpot: Double = 0.79) -> Claim? {
            var own = measurement()
            own.convolutionalDense = [0.8, 0.8]
            let arms: [(Measurement.Arm, Double)] = [
                (.magnitude, 0.1), (.recalibrated, magnitude), (.firstEpoch, 0.7), (.jackpot, jackpot),
                (.fineTuned, 0.8),
            ]
            own.convolutional = spread(
                arms.flatMap { arm, mean in [0.9, 0.95].map { (arm: arm, setting: $0, mean: mean) } })
            return own.claims.first { $0.id == "with-norms" }
        }
        #expect(verdict("with-norms", measurement().claims) == .notMeasured)
        #expect(claim()?.verdict == .holds && claim()?.comparisons.count == 4)
        #expect(claim(jackpot: 0.78)?.verdict == .doesNotHold)
        #expect(claim(magnitude: 0.695)?.verdict == .doesNotHold)
        // Masks that lose little leave nothing to rescue.
        #expect(claim(magnitude: 0.75)?.comparisons.count == 2 && claim(magnitude: 0.75)?.verdict == .holds)
    }

    @Test func whatIsMissingDoesNotHold() {
        let empty = Measurement(dense: [], accuracies: ArmAccuracies(), overlaps: ArmAccuracies())
        let open = empty.claims.filter { $0.id != "weights-stay" }
        #expect(open.allSatisfy { $0.verdict != .holds })
    }
}

@Suite struct MFACEvidenceTests {
    typealias Measurement = MFACMeasurement

    private func measurement(
        magnitude: Double = 0.6, whole: Double = 0.85, blocks: Double = 0.84, few: Double = 0.83,
        mfac: Double = 0.4, mfacMean: Double = 0.8, residual: Double = 1.9, withoutUpdate: Double = 0.7,
        once: Double = 0.65, exactness: InverseExactness = InverseExactness()
    ) -> Measurement {
        let arms: [(Measurement.Arm, Double)] = [
            (.magnitude, magnitude), (.diagonal, 0.8), (.blocks, blocks), (.whole, whole), (.fewGradients, few),
            (.withoutUpdate, withoutUpdate), (.once, once),
        ]
        let sparsities: [Double] = [0.9, 0.95]
        var (losses, meanLosses) = (ArmAccuracies<Measurement.Descent>(), ArmAccuracies<Measurement.Descent>())
        for (descent, loss) in [(Measurement.Descent.sgd, 0.45), (.adamW, 0.44), (.mfac, mfac)] {
            let rates = descent.rates(of: .perceptron)
            losses.add(loss, of: descent, at: rates[1])
            losses.add(.nan, of: descent, at: rates[2])
            losses.add(loss + 0.1, of: descent, at: rates[3])
            meanLosses.add(descent == .mfac ? mfacMean : 0.9, of: descent, at: rates[1])
        }
        var (residuals, residualMeans) = (ArmAccuracies<Measurement.Descent>(), ArmAccuracies<Measurement.Descent>())
        for (descent, loss) in [(Measurement.Descent.sgd, 2.0), (.mfac, residual)] {
            let rates = descent.rates(of: .residual)
            residuals.add(loss + 0.1, of: descent, at: rates[0])
            residuals.add(loss, of: descent, at: rates[1])
            residualMeans.add(loss + 0.2, of: descent, at: rates[1])
        }
        return Measurement(
            dense: [0.87],
            accuracies: spread(arms.flatMap { arm, mean in sparsities.map { (arm: arm, setting: $0, mean: mean) } }),
            losses: [.perceptron: losses, .residual: residuals],
            meanLosses: [.perceptron: meanLosses, .residual: residualMeans], exactness: exactness)
    }

    @Test func claimsFollowFromTheNumbers() {
        for claim in measurement().claims {
            #expect(claim.verdict == (claim.id == "step-time" ? .notMeasured : .holds))
        }
        #expect(verdict("above-magnitude", measurement(magnitude: 0.76).claims) == .doesNotHold)
        #expect(verdict("above-diagonal", measurement(whole: 0.805).claims) == .doesNotHold)
        #expect(verdict("like-blocks", measurement(blocks: 0.881).claims) == .doesNotHold)
        #expect(verdict("update-matters", measurement(withoutUpdate: 0.76).claims) == .doesNotHold)
        #expect(verdict("recomputation-matters", measurement(once: 0.76).claims) == .doesNotHold)
        #expect(verdict("more-gradients", measurement(few: 0.851).claims) == .doesNotHold)
        #expect(verdict("optimizer", measurement(mfac: 0.46).claims) == .doesNotHold)
        #expect(verdict("optimizer", measurement(mfacMean: 0.91).claims) == .doesNotHold)
        #expect(verdict("optimizer-adaptive", measurement(mfac: 0.445).claims) == .doesNotHold)
        #expect(verdict("optimizer-residual", measurement(residual: 2.01).claims) == .doesNotHold)
        #expect(measurement().best(.residual, .mfac)?.rate == 0.01 && measurement().best(.residual, .adamW) == nil)
        var far = InverseExactness()
        far.recursion = 1e-6
        #expect(verdict("exact", measurement(exactness: far).claims) == .doesNotHold)
        far = InverseExactness()
        far.saliency = 1e-5
        #expect(verdict("saliency", measurement(exactness: far).claims) == .doesNotHold)
    }

    /// Where a method has lost less than ten points, nothing can be ten points above it, at either sparsity.
    @Test func tenPointsAreAskedForAtBothSparsities() {
        for id in ["above-magnitude", "update-matters", "recomputation-matters"] {
            let claim = measurement(magnitude: 0.8, withoutUpdate: 0.8, once: 0.8).claims.first { $0.id == id }
            #expect(claim?.comparisons.map(\.bound) == [10, 10] && claim?.verdict == .doesNotHold)
        }
    }

    /// The rate with the least mean loss counts; a rate at which a seed diverged does not.
    @Test func theBestRateIsThatOfTheLeastFiniteLoss() throws {
        let best = try #require(measurement().best(.perceptron, .sgd))
        #expect(best.rate == 0.03 && best.loss == 0.45 && best.meanLoss == 0.9)
        let none = Measurement(
            dense: [], accuracies: ArmAccuracies(), losses: [:], meanLosses: [:], exactness: InverseExactness())
        #expect(none.best(.perceptron, .sgd) == nil && verdict("optimizer", none.claims) == .doesNotHold)
        #expect(verdict("optimizer-residual", none.claims) == .doesNotHold)
    }

    @Test func inversesAreExact() throws {
        let found = try InverseExactness(seed: 5, dampening: 1e-5)
        for error in [found.product, found.window, found.block, found.recursion] { #expect(error > 0 && error < 1e-9) }
        #expect(found.single > 0 && found.single < 1e-3 && found.saliency < 1e-6)
    }
}
