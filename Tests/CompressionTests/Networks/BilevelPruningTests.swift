import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct BilevelPruningTests {
    private let source: TensorBatches = {
        let (inputs, targets) = clusters()
        return TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 3)
    }()

    private func trained() throws -> PrunableNetwork {
        let prunable = try PrunableNetwork(SmallMLP(hidden: 24))
        try shortTraining().run(prunable.network, on: source)
        return prunable
    }

    private func run(_ network: PrunableNetwork, _ options: BilevelPruning.Options) throws -> BilevelPruning {
        let (inputs, targets) = clusters()
        let pruning = try BilevelPruning(network, options: options)
        let upper = TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 99)
        try pruning.run(lower: source, upper: upper) { _, _ in
            #expect(network.count - network.removedCount == pruning.keptCount)
        }
        return pruning
    }

    /// On a linear loss ℓ(z) = cᵀz the lower level has the solution θ* = −m ⊙ c / γ, so ℓ(m ⊙ θ*(m)) is
    /// −Σ m² c² / γ: the formula is its derivative.
    @Test func implicitGradientIsTheDerivativeThroughTheLowerLevel() {
        var generator = RandomGenerator(seed: 6)
        let slope = Tensor.normal([5, 7], dataType: .f64, using: &generator)
        let mask = Tensor.uniform([5, 7], low: 0, high: 1, dataType: .f64, using: &generator)
        let gamma = 0.7
        let weights = -(mask * slope) / gamma
        let gradient = BilevelPruning.maskGradient(
            weights: weights, slope: slope, mask: mask, regularization: gamma, .formula
        ).doubles()
        func objective(_ m: [Double]) -> Double {
            zip(m, slope.doubles()).reduce(0.0) { (sum: Double, pair: (Double, Double)) -> Double in
                let product: Double = pair.0 * pair.1
                return sum - product * product / gamma
            }
        }
        for index in gradient.indices {
            var (high, low) = (mask.doubles(), mask.doubles())
            high[index] += 1e-5
            low[index] -= 1e-5
            let slope: Double = (objective(high) - objective(low)) / 2e-5
            #expect(abs(slope - gradient[index]) < 1e-6)
        }
        let direct = BilevelPruning.maskGradient(
            weights: weights, slope: slope, mask: mask, regularization: gamma, .none)
        #expect(direct.doubles() == (weights * slope).doubles())
    }

    /// On ℓ(z) = cᵀz + ½ zᵀAz the implicit function theorem has the exact derivative: with B = γI + diag(m) A diag(m),
    /// θ* = −B⁻¹(m ⊙ c) and dθ*/dm = −B⁻¹(diag(g) + diag(m) A diag(θ*)). What the formula leaves out, A, costs an error
    /// that shrinks with ‖A‖/γ linearly.
    @Test func implicitGradientErrsByTheCurvatureOverTheRegularization() throws {
        var generator = RandomGenerator(seed: 11)
        let n = 6
        let slope = Tensor.normal([n, 1], dataType: .f64, using: &generator)
        let mask = Tensor.uniform([n, 1], low: 0.2, high: 1, dataType: .f64, using: &generator)
        let root = Tensor.normal([n, n], dataType: .f64, using: &generator)
        let unit = root.transposed().matmul(root) / Double(n)
        let gamma = 0.7

        func lower(_ m: Tensor, _ curvature: Tensor) throws -> (factor: Tensor, weights: Tensor) {
            let matrix = m * curvature * m.transposed() + Tensor.identity(n, dataType: .f64) * gamma
            let factor = try matrix.choleskyFactor()
            return (factor, -(try factor.choleskySolve(m * slope)))
        }
        func objective(_ m: Tensor, _ curvature: Tensor) throws -> Double {
            let z = m * (try lower(m, curvature).weights)
            return (slope * z + z * curvature.matmul(z) / 2).sum().doubles()[0]
        }
        var errors: [Double] = []
        for scale in [1e-2, 1e-3, 1e-4] {
            let curvature = unit * scale
            let (factor, weights) = try lower(mask, curvature)
            let g = slope + curvature.matmul(mask * weights)
            let mixed = Tensor.identity(n, dataType: .f64) * g + mask * curvature * weights.transposed()
            let adjoint = try factor.choleskySolve(mask * g)
            let exact = (weights * g - mixed.transposed().matmul(adjoint)).doubles()
            for index in 0..<n {
                var (high, low) = (mask.doubles(), mask.doubles())
                high[index] += 1e-5
                low[index] -= 1e-5
                let (above, below) = (
                    try objective(Tensor(high, shape: [n, 1]), curvature),
                    try objective(Tensor(low, shape: [n, 1]), curvature)
                )
                let difference: Double = (above - below) / 2e-5
                #expect(abs(difference - exact[index]) < 1e-6)
            }
            let found = BilevelPruning.maskGradient(
                weights: weights, slope: g, mask: mask, regularization: gamma, .formula
            ).doubles()
            let distance = zip(found, exact).reduce(0.0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
            errors.append(distance / exact.reduce(0.0) { $0 + $1 * $1 }.squareRoot())
        }
        #expect(errors[0] > 1e-4 && errors[0] < 0.1)
        #expect(errors[0] / errors[1] > 9 && errors[0] / errors[1] < 11)
        #expect(errors[1] / errors[2] > 9.8 && errors[1] / errors[2] < 10.2)
    }

    /// Without steps of the scores it is one-shot magnitude pruning and masked training, bit for bit.
    @Test func masksThatDoNotMoveAreMaskedTraining() throws {
        var options = BilevelPruning.Options(kept: 0.3, steps: 25)
        options.maskRate = 0
        let network = try trained()
        let bilevel = try run(network, options)
        #expect(bilevel.swapCounts.allSatisfy { $0 == 0 })

        let reference = try trained()
        try reference.prune(by: .magnitude, to: 1 - Double(bilevel.keptCount) / Double(reference.count))
        var training = shortTraining(steps: 25)
        training.rates.totalSteps = 26  // the cosine of training ends at its last step, that of the paper after it
        var state = OptimizerState(training.optimizer, for: reference.network)
        try training.run(
            reference.network, on: source, steps: 0..<25, state: &state, hooks: [MaskedTraining(reference)])
        #expect(network.masks == reference.masks)
        for index in network.weights.indices {
            #expect(network.values(index).floats() == reference.values(index).floats())
        }
    }

    /// Weights train as they are told to: the same as masked training whose gradients are masked before they are clipped.
    @Test func weightsTrainByTheTrainingThatIsGiven() throws {
        final class MaskedGradients: TrainingHook {
            let network: PrunableNetwork
            init(_ network: PrunableNetwork) { self.network = network }
            func willUpdate(_ step: Int, gradients: inout [Tensor]) {
                for (place, mask) in zip(network.places, network.masks) {
                    gradients[place] = gradients[place].detached().contiguous()
                    gradients[place].withMutableElements(Float.self) { all in
                        for index in all.indices where !mask[index / mask.columns, index % mask.columns] {
                            all[index] = 0
                        }
                    }
                }
            }
        }
        var training = SupervisedTraining(
            optimizer: AdamW(weightDecay: 0.01),
            rates: LearningRateSchedule(kind: .step, peak: 0.01, warmupSteps: 3, minimumRatio: 0, totalSteps: 20))
        (training.clipNorm, training.labelSmoothing, training.precision) = (0.2, 0.1, .bf16)
        training.decay = .matrices
        var options = BilevelPruning.Options(kept: 0.3, steps: 10)
        (options.maskRate, options.lowerSteps, options.training) = (0, 2, training)
        let network = try trained()
        let bilevel = try run(network, options)

        let reference = try trained()
        try reference.prune(by: .magnitude, to: 1 - Double(bilevel.keptCount) / Double(reference.count))
        try training.run(
            reference.network, on: source, hooks: [MaskedGradients(reference), MaskedTraining(reference)])
        #expect(numbers(of: network.network) == numbers(of: reference.network))
        // Masks learn by the same loss.
        (options.maskRate, options.lowerSteps) = (1, 0)
        let smoothed = try run(trained(), options).scores[0].floats()
        options.training?.labelSmoothing = 0
        #expect(try run(trained(), options).scores[0].floats() != smoothed)
    }

    /// Without lower steps only masks are learned: kept weights are the trained ones.
    @Test func withoutLowerStepsWeightsStay() throws {
        let network = try trained()
        let weights = network.weights.indices.map { network.values($0).copied() }
        var options = BilevelPruning.Options(kept: 0.2, steps: 30)
        options.lowerSteps = 0
        options.implicitGradient = .none
        options.maskRate = 1
        options.weightDecay = 0
        let pruning = try run(network, options)
        #expect(pruning.swapCounts.reduce(0, +) > 0)
        for index in weights.indices {
            let expected = zip(weights[index].floats(), network.masks[index].indicator.floats())
                .map { $1 == 0 ? 0 : $0 }
            #expect(network.values(index).floats() == expected)
        }
    }

    /// Without lower steps and implicit term it is HYDRA: scores of the trained, frozen weights alone learn, step by
    /// step as in a loop of its own that takes ∂ℓ/∂m through m ⊙ θ by differentiation and sorts |s|. The implicit terms
    /// come on top of it.
    @Test(arguments: BilevelPruning.ImplicitGradient.allCases)
    func learnsTheScoresOfFrozenWeights(implicit: BilevelPruning.ImplicitGradient) throws {
        let network = try trained()
        var options = BilevelPruning.Options(kept: 0.2, steps: 40)
        (options.lowerSteps, options.implicitGradient, options.maskRate) = (0, implicit, 0.5)
        options.regularization = 0.3
        let weights = network.weights.indices.map { network.values($0).copied() }
        let biases = network.network.parameters.filter { $0.name.hasSuffix("bias") }
            .map { $0.parameter.wrappedValue.detached().copied() }
        let keptCount = Int(0.2 * Double(network.count))

        func loss(_ masked: [Tensor], _ batch: LabeledBatch) -> Tensor {
            let hidden = (batch.inputs.matmul(masked[0].transposed()) + biases[0]).relu()
            return (hidden.matmul(masked[1].transposed()) + biases[1]).meanCrossEntropy(targets: batch.targets)
        }
        func masks(_ scores: [[Float]]) -> [Tensor] {
            let limit = scores.joined().map { abs($0) }.sorted(by: >)[keptCount - 1]
            return zip(scores, weights).map { own, weight in
                Tensor(own.map { abs($0) >= limit ? Float(1) : 0 }, shape: weight.shape)
            }
        }
        var scores = weights.map { $0.floats() }
        var velocities = scores.map { [Float](repeating: 0, count: $0.count) }
        var trajectory: [[[Float]]] = []
        for step in 0..<40 {
            // Half of the steps at the rate, a quarter at a tenth of it, the last quarter at none.
            let rate: Float = step < 20 ? 0.5 : step < 30 ? 0.05 : 0
            if rate > 0 {
                let m = masks(scores).map { $0.tracked() }
                let batch = source.batch(at: step)
                let direct = gradients(of: loss(zip(m, weights).map { $0 * $1 }, batch), withRespectTo: m)
                let z = zip(m, weights).map { ($0.detached() * $1).tracked() }
                let slopes = gradients(of: loss(z, batch), withRespectTo: z)
                for index in scores.indices {
                    let (d, g, kept) = (direct[index].floats(), slopes[index].floats(), m[index].floats())
                    for place in scores[index].indices {
                        let term: Float =
                            switch implicit {
                            case .formula: kept[place] * g[place] * g[place] / 0.3
                            case .code: 1e-4 * d[place] * d[place]
                            case .none: 0
                            }
                        let s = scores[index][place]
                        let slope = s < 0 ? term - d[place] : d[place] - term
                        let velocity: Float = 0.9 * velocities[index][place] + slope + 1e-4 * s
                        velocities[index][place] = velocity
                        scores[index][place] = s - rate * velocity
                    }
                }
            }
            trajectory.append(scores)
        }

        let pruning = try BilevelPruning(network, options: options)
        var moved: Float = 0
        try pruning.run(lower: source, upper: source) { step, _ in
            for (own, expected) in zip(pruning.scores, trajectory[step]) {
                #expect(zip(own.floats(), expected).allSatisfy { abs($0 - $1) < 1e-4 }, "step \(step)")
            }
        }
        for (index, own) in pruning.scores.enumerated() {
            let start = weights[index].floats()
            moved = max(moved, zip(own.floats(), start).map { abs($0 - $1) }.max() ?? 0)
            #expect(network.masks[index].indicator.floats() == masks(trajectory[39])[index].floats())
            #expect(pruning.weights[index].floats() == start)
        }
        #expect(moved > 0.1 && pruning.swapCounts.reduce(0, +) > 0)
    }

    /// With the upper level first, scores move by the weights as they come, and these train under the masks that
    /// follow.
    @Test func masksMayMoveBeforeWeights() throws {
        func options(_ order: BilevelPruning.LevelOrder, lowerSteps: Int, steps: Int = 1) -> BilevelPruning.Options {
            var options = BilevelPruning.Options(kept: 0.3, steps: steps)
            (options.order, options.lowerSteps, options.maskRate) = (order, lowerSteps, 1)
            options.implicitGradient = .none
            return options
        }
        func scores(_ pruning: BilevelPruning) -> [[Float]] { pruning.scores.map { $0.floats() } }
        let frozen = try run(trained(), options(.lowerFirst, lowerSteps: 0))
        let network = try trained()
        let upperFirst = try run(network, options(.upperFirst, lowerSteps: 1))
        #expect(scores(upperFirst) == scores(frozen) && network.masks == frozen.network.masks)
        #expect(upperFirst.swapCounts == frozen.swapCounts && frozen.swapCounts[0] > 0)
        #expect(try scores(run(trained(), options(.lowerFirst, lowerSteps: 1))) != scores(frozen))
        #expect(try scores(run(trained(), options(.upperFirst, lowerSteps: 0))) == scores(frozen))

        let reference = try trained()
        reference.setMasks(frozen.network.masks)
        var training = shortTraining(steps: 1)
        training.rates.totalSteps = 2
        var state = OptimizerState(training.optimizer, for: reference.network)
        try training.run(reference.network, on: source, steps: 0..<1, state: &state, hooks: [MaskedTraining(reference)])
        for index in network.weights.indices {
            #expect(network.values(index).floats() == reference.values(index).floats())
        }
        // One step of the scores in each round, whatever the number of weights' steps in it.
        let longer = try run(trained(), options(.upperFirst, lowerSteps: 2, steps: 20))
        #expect(longer.swapCounts.count == 20 && longer.swapCounts[..<15].contains { $0 > 0 })
        #expect(longer.swapCounts[15...].allSatisfy { $0 == 0 })
    }

    @Test func keepsAccuracyWhereOneShotPruningLosesIt() throws {
        let oneShot = try trained()
        try oneShot.prune(by: .magnitude, to: 0.95)
        let batch = source.batch(at: 0)
        let network = try trained()
        var options = BilevelPruning.Options(kept: 0.05, steps: 150)
        options.maskRate = 1
        _ = try run(network, options)
        #expect(
            Classification(of: network.network, on: [batch]).loss
                < Classification(of: oneShot.network, on: [batch]).loss * 0.7)
    }

    /// Whole filters, or whole input channels, go; of each convolution as many; linear layers stay.
    @Test(arguments: [(MaskUnit.filter, 0.5, 3), (.filter, 0.4, 3), (.filter, 0.01, 1), (.channel, 0.5, 1)])
    func unitsGoWhole(unit: MaskUnit, kept: Double, expected: Int) throws {
        var generator = RandomGenerator(seed: 4)
        let inputs = Tensor.normal([48, 2, 6, 6], using: &generator)
        let targets = Tensor((0..<48).map { $0 % 3 })
        let source = TensorBatches(inputs: inputs, targets: targets, batchSize: 16, seed: 3)
        let network = try PrunableNetwork(SmallConvolutionNetwork())
        var options = BilevelPruning.Options(kept: kept, steps: 12)
        (options.unit, options.maskRate) = (unit, 1)
        let pruning = try BilevelPruning(network, options: options)
        try pruning.run(lower: source, upper: source) { _, _ in
            let mask = network.masks[0]
            let units = unit == .filter ? 6 : 2
            let flags = (0..<units).map { own -> Set<Bool> in
                let places = (0..<mask.count).filter {
                    (unit == .filter ? $0 / mask.columns : $0 % mask.columns / 9) == own
                }
                return Set(places.map { mask[$0 / mask.columns, $0 % mask.columns] })
            }
            #expect(flags.allSatisfy { $0.count == 1 })
            #expect(flags.count { $0 == [true] } == expected)
            #expect(network.masks[1].removedCount == 0)
            #expect(network.count - network.removedCount == pruning.keptCount)
        }
    }

    /// The score's gradient is that of Σ_u G_u ‖s_u‖ with G_u the sum of the mask's gradient over the unit.
    @Test(arguments: MaskUnit.allCases) func scoresFollowTheNormOfTheirUnit(unit: MaskUnit) throws {
        var generator = RandomGenerator(seed: 8)
        let shape = unit.layout(rows: 3, columns: 8, kernelElements: 4)
        let slope = Tensor.normal(shape, dataType: .f64, using: &generator)
        let scores = Tensor.normal(shape, dataType: .f64, using: &generator)
        let found = MaskUnit.scoreGradient(maskGradient: slope, scores: scores).doubles()
        func objective(_ values: [Double]) -> Double {
            let norms = MaskUnit.norms(Tensor(values, shape: shape))
            return (slope.sum(axes: [0, 2]) * norms).sum().doubles()[0]
        }
        for place in found.indices {
            var (high, low) = (scores.doubles(), scores.doubles())
            high[place] += 1e-6
            low[place] -= 1e-6
            let expected: Double = (objective(high) - objective(low)) / 2e-6
            #expect(abs(found[place] - expected) < 1e-6)
        }
        if unit == .weight {
            let signed = (slope * scores.sign()).doubles()
            #expect(zip(found, signed).allSatisfy { abs($0 - $1) < 1e-12 })
        }
        let still = MaskUnit.scoreGradient(maskGradient: slope, scores: .zeros(shape, dataType: .f64))
        #expect(still.doubles().allSatisfy { $0 == 0 })
    }

    /// A channel that several layers make or read has one norm ‖s‖ and one slope G over all of them: its scores' gradient
    /// is G s / ‖s‖.
    @Test(arguments: [MaskUnit.filter, .channel]) func layersOfAChannelShareItsNorm(unit: MaskUnit) throws {
        let network = try VisionArchitecture(
            named: "resnet8", classes: 3, inputChannels: 1, imageSize: 8, widthMultiplier: 0.25
        ).makeNetwork(seed: 1)
        let weights = try PrunableNetwork(network).weights
        let groups = try ChannelGroups(of: network, example: .zeros([2, 1, 8, 8]))
        var generator = RandomGenerator(seed: 2)
        func numbers() -> [Tensor] { weights.map { Tensor.normal([$0.rows, $0.columns], using: &generator) } }
        let (slopes, scores) = (numbers(), numbers())
        let found = try CoupledUnits(groups, unit: unit, weights: weights)
            .scoreGradients(maskGradients: slopes, scores: scores).map { $0.floats() }
        let (s, g) = (scores.map { $0.floats() }, slopes.map { $0.floats() })
        var (expected, shared) = (weights.map { [Float](repeating: 0, count: $0.count) }, 0)
        for group in groups.groups where group.makers.contains(where: { $0.shape.count > 2 }) {
            let members =
                unit == .filter
                ? group.makers : group.members.filter { $0.isParameter && $0.isReader && $0.shape.count >= 2 }
            shared = max(shared, members.count)
            for channel in 0..<group.count {
                var places: [(weight: Int, entry: Int)] = []
                for member in members {
                    let weight = try #require(weights.firstIndex { $0.name == member.name })
                    let inner = member.shape[(member.axis + 1)...].reduce(1, *)
                    for entry in 0..<weights[weight].count
                    where member.positions[channel].contains(entry / inner % member.shape[member.axis]) {
                        places.append((weight, entry))
                    }
                }
                let norm = places.reduce(0.0) { $0 + Double(s[$1.weight][$1.entry] * s[$1.weight][$1.entry]) }
                    .squareRoot()
                let slope = places.reduce(0.0) { $0 + Double(g[$1.weight][$1.entry]) }
                for (weight, entry) in places { expected[weight][entry] += Float(slope / norm) * s[weight][entry] }
            }
        }
        #expect(shared > 1)
        for (own, other) in zip(found, expected) { #expect(zip(own, other).allSatisfy { abs($0 - $1) < 1e-3 }) }
    }

    /// ∂ℓ/∂m of gates is the slope of the loss as a channel's gate moves, on the network in training, whether the channel
    /// is kept or not.
    @Test func gatesHaveTheSlopeOfTheLoss() throws {
        let network = try VisionArchitecture(
            named: "resnet8", classes: 10, inputChannels: 1, imageSize: 8, widthMultiplier: 0.25
        ).makeNetwork(seed: 1)
        let batch = Array(ImageDataSet.shapes(24, size: 8, seed: 2).batches(of: 24))[0]
        let groups = try ChannelGroups(of: network, example: .zeros([2, 1, 8, 8]))
        let places = groups.groups.indices.filter { groups.groups[$0].makers.contains { $0.shape.count > 2 } }
        network.setTraining(true)
        // Norms as they are after training: scales and biases of all sizes.
        var generator = RandomGenerator(seed: 3)
        for own in network.modules where own.module is BatchNorm {
            for (_, parameter) in own.module.parameters {
                parameter.wrappedValue = .uniform(parameter.wrappedValue.shape, low: 0.3, high: 1, using: &generator)
            }
        }
        let gates = ChannelGates(groups, at: places, of: network)
        #expect(gates.groups == Set(places))
        var kept = KeptChannels(allOf: groups)
        for group in places {
            for channel in 0..<groups.groups[group].count / 2 { kept.remove(channel, ofGroup: group) }
        }
        gates.show(kept, passing: ChannelGates.slit)
        let shown = gates.parameters.map { $0.wrappedValue.detached() }
        let slopes = gradients(of: network.loss(batch), withRespectTo: gates.parameters.map(\.wrappedValue))
        let found = try gates.maskGradients(slopes, kept, regularization: 1, .none)
        gates.show(KeptChannels(allOf: groups))
        let whole = gates.parameters.map { $0.wrappedValue.detached() }
        var sizes: [Bool: Double] = [:]
        for group in places {
            for channel in 0..<groups.groups[group].count {
                // What the channel's gates add, m at each position of it.
                var alone = KeptChannels(allOf: groups)
                alone.remove(channel, ofGroup: group)
                gates.show(alone)
                let others = gates.parameters.map { $0.wrappedValue.detached() }
                func loss(_ step: Double) -> Double {
                    for (index, parameter) in gates.parameters.enumerated() {
                        parameter.wrappedValue = shown[index] + (whole[index] - others[index]) * step
                    }
                    return network.loss(batch).doubles()[0]
                }
                let slope = try #require(found[group])[channel]
                let step = kept[group, channel] ? 1e-2 : ChannelGates.slit / 2
                let difference = (loss(step) - loss(-step)) / (2 * step)
                #expect(abs(difference - slope) < 0.05 * abs(slope) + 2e-3, "\(group), \(channel)")
                sizes[kept[group, channel], default: 0] += abs(slope)
            }
        }
        // Masks on the filters themselves would give removed ones slopes of another order.
        let ratio = try #require(sizes[false]) / #require(sizes[true])
        #expect(ratio > 0.05 && ratio < 20, "\(ratio)")
    }

    /// Where norms are behind the filters, the choice moves by a few channels at a time, and filters that are hidden stay
    /// as they are until the choice stands.
    @Test func channelsBehindNormsReturnWithTheirFilters() throws {
        let network = try VisionArchitecture(
            named: "resnet8", classes: 10, inputChannels: 1, imageSize: 8, widthMultiplier: 0.5
        ).makeNetwork(seed: 1)
        let set = ImageDataSet.shapes(64, size: 8, seed: 2)
        let prunable = try PrunableNetwork(network)
        let groups = try ChannelGroups(of: network, example: .zeros([2, 1, 8, 8]))
        var options = BilevelPruning.Options(kept: 0.5, steps: 40)
        (options.unit, options.learningRate) = (.filter, 0.05)
        let pruning = try BilevelPruning(prunable, options: options, channels: groups)
        let norms = pruning.scores.map { $0.square().sum().doubles()[0] }
        var masked: [Int] = []
        try pruning.run(
            lower: ImageBatches(set, batchSize: 16, seed: 1), upper: ImageBatches(set, batchSize: 16, seed: 2)
        ) { _, _ in masked.append(prunable.removedCount) }
        #expect(options.maskSteps == 30 && pruning.swapCounts.count == 40)
        #expect(masked[..<30].allSatisfy { $0 == 0 } && masked[30...].allSatisfy { $0 > 0 })
        #expect(pruning.swapCounts[30...].allSatisfy { $0 == 0 })
        // No step takes a tenth of all channels for others, and no scores run away.
        let channels = KeptChannels(allOf: groups).count
        #expect(pruning.swapCounts.allSatisfy { $0 <= channels / 10 }, "\(pruning.swapCounts)")
        for (before, after) in zip(norms, pruning.scores) {
            let ratio = after.square().sum().doubles()[0] / before
            #expect(ratio > 0.25 && ratio < 4, "\(ratio)")
        }
    }

    /// From three quarters of the steps weights train under masks that stand.
    @Test func theChoiceStandsInTheLastQuarter() throws {
        let (inputs, targets) = clusters()
        var options = BilevelPruning.Options(kept: 0.2, steps: 40)
        options.maskRate = 1
        let network = try trained()
        let pruning = try BilevelPruning(network, options: options)
        var masks: [[WeightMask]] = []
        try pruning.run(
            lower: source, upper: TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 99)
        ) { _, _ in masks.append(network.masks) }
        #expect(Set(masks[29...]).count == 1 && Set(masks[..<30]).count > 1)
        #expect(pruning.swapCounts[..<30].contains { $0 > 0 } && pruning.swapCounts[30...].allSatisfy { $0 == 0 })
    }

    /// With ever more regularization of the lower level the implicit term vanishes.
    @Test func withoutTheImplicitTermIsTheLimitOfRegularization() throws {
        var options = BilevelPruning.Options(kept: 0.3, steps: 12)
        options.maskRate = 1
        func scores(_ kind: BilevelPruning.ImplicitGradient, _ gamma: Double) throws -> [Float] {
            (options.implicitGradient, options.regularization) = (kind, gamma)
            return try run(trained(), options).scores[0].floats()
        }
        let limit = try scores(.none, 1)
        #expect(try scores(.formula, 1e30) == limit)
        #expect(try scores(.formula, 0.1) != limit)
    }

    /// Scores begin as the weights, so a layer whose weights are larger keeps more of them; over its scale it does not.
    @Test func aLayersScaleDoesNotMatterWhereScoresAreTakenOverIt() throws {
        let snapshot = Snapshot(of: try trained().network)
        func masks(_ scale: BilevelPruning.ScoreScale, _ factor: Float, of layer: Int = 0) throws -> [WeightMask] {
            let network = try trained()
            snapshot.restore(network.network)
            let name = network.weights[layer].name
            let parameter = try #require(network.network.parameters.first { $0.name == name }?.parameter)
            parameter.wrappedValue = parameter.wrappedValue.detached() * Double(factor)
            var options = BilevelPruning.Options(kept: 0.3, steps: 3)
            options.scoreScale = scale
            let pruning = try BilevelPruning(network, options: options)
            #expect(network.count - network.removedCount == pruning.keptCount)
            return network.masks
        }
        let plain = try masks(.layer, 1)
        // Powers of two change no bit of what is compared.
        for (factor, layer) in [(Float(0.125), 0), (16, 0), (8, 1)] {
            #expect(try masks(.layer, factor, of: layer) == plain)
            #expect(try masks(.raw, factor, of: layer) != masks(.raw, 1))
        }
        // What is compared is |s| over the root mean square of the layer.
        let network = try trained()
        snapshot.restore(network.network)
        let scores = network.weights.indices.map { index -> [Double] in
            let values = network.values(index).doubles()
            let square = values.reduce(0) { $0 + $1 * $1 } / Double(values.count)
            return values.map { abs($0) / square.squareRoot() }
        }
        let threshold = scores.joined().sorted()[network.count - plain.reduce(0) { $0 + $1.keptCount }]
        for (own, mask) in zip(scores, plain) {
            for (index, score) in own.enumerated() where abs(score - threshold) > 1e-5 {
                #expect(mask[index / mask.columns, index % mask.columns] == (score > threshold))
            }
        }
        // A run keeps the count at every step, and masks move.
        var options = BilevelPruning.Options(kept: 0.2, steps: 40)
        (options.scoreScale, options.maskRate) = (.layer, 1)
        let pruning = try run(trained(), options)
        #expect(pruning.swapCounts.reduce(0, +) > 0)
        // Layers of nothing but zeros are no division by zero.
        #expect(BilevelPruning.overScale(.zeros([2, 3])).floats() == [0, 0, 0, 0, 0, 0])
        options.unit = .filter
        #expect { try BilevelPruning(network, options: options) } throws: {
            "\($0)".contains("score_scale: layer is of single weights")
        }
    }

    @Test func unitsNeedConvolutions() throws {
        var options = BilevelPruning.Options(kept: 0.5, steps: 3)
        options.unit = .filter
        let network = try trained()
        let error = #expect(throws: CoppiceError.self) { try BilevelPruning(network, options: options) }
        #expect(error?.description.contains("convolution") == true)
    }

    @Test func optionsOutOfRangeAreNamed() throws {
        let network = try trained()
        for kept in [0, -0.1, 1.5, .nan] {
            let error = #expect(throws: CoppiceError.self) {
                try BilevelPruning(network, options: .init(kept: kept, steps: 3))
            }
            #expect(error?.description.contains("keep") == true)
        }
        var options = BilevelPruning.Options(kept: 0.5, steps: 3)
        options.regularization = 0
        #expect(throws: CoppiceError.self) { try BilevelPruning(network, options: options) }
    }
}
