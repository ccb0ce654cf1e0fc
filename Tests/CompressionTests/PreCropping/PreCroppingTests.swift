import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

@Suite struct PreCroppingTests {
    private static let names = [
        "resnet20", "resnet20-projected", "vgg16-bn", "mobilenet-v2-cifar", "lenet-5", "wrn-16-4",
    ]

    @Test(arguments: names, [0.5, 0.2])
    func budgetsAreMetWithinOneChannel(name: String, part: Double) throws {
        let structure = try ChannelStructure(VisionArchitecture(named: name))
        let budget = Int(part * Double(structure.parameterCount(structure.widths)))
        let plan = try PreCropping(parameters: budget).plan(for: structure)
        #expect((plan.residual ?? 1) < 1e-9)
        #expect(plan.after.parameters <= budget)
        #expect(plan.architecture.parameterCount == plan.after.parameters)
        #expect(Array(plan.architecture.widths.values) == plan.widths)
        #expect(zip(plan.widths, structure.widths).allSatisfy { $0 >= 1 && $0 <= $1 })
        // No width could have one more channel.
        for index in plan.widths.indices where plan.widths[index] < structure.widths[index] {
            var more = plan.widths
            more[index] += 1
            let isOrdered = structure.ascents.allSatisfy { more[$0.lower] <= more[$0.upper] }
            #expect(structure.parameterCount(more) > budget || !isOrdered)
        }
    }

    @Test func bothBudgetsAreKept() throws {
        let structure = try ChannelStructure(VisionArchitecture(named: "resnet20-projected"))
        let (parameters, multiplications) = (100_000, 10_000_000)
        let plan = try PreCropping(parameters: parameters, multiplications: multiplications).plan(for: structure)
        #expect(plan.after.parameters <= parameters && plan.after.multiplyAccumulates <= multiplications)
        // Parameters alone leave early layers wide, multiplications alone late ones.
        let small = try PreCropping(parameters: 60_000).plan(for: structure)
        let fast = try PreCropping(multiplications: 9_000_000).plan(for: structure)
        func ratio(_ plan: CropPlan<ChannelStructure>) -> Double {
            Double(plan.widths[0]) / Double(plan.widths[plan.widths.count - 1])
        }
        #expect(ratio(small) > ratio(fast))
    }

    @Test func sameLayersGetTheSameWidths() throws {
        let structure = try ChannelStructure(VisionArchitecture(named: "resnet56-projected"))
        let cropping = PreCropping(parameters: 200_000)
        let program = ChannelProgram(structure)
        let solution = try program.program(parameters: Double(200_000), multiplications: nil).solve()
        let inner = structure.names.indices.filter { structure.names[$0].hasPrefix("layer3.") }.dropFirst(2)
        let points = inner.map { solution.point[$0] }
        #expect((points.max() ?? 0) - (points.min() ?? 1) < 1e-6)
        let widths = try cropping.plan(for: structure).widths
        let chosen = inner.map { widths[$0] }
        #expect((chosen.max() ?? 0) - (chosen.min() ?? 0) <= 1)
    }

    /// E[R] from its definition: every block adds its input, or the projection of it, to what its layers make of it.
    @Test(arguments: ["resnet8", "resnet8-projected", "wrn-10-2"])
    func residualSignalIsTheProductOverBlocks(name: String) throws {
        let structure = try ChannelStructure(VisionArchitecture(named: name))
        let signal = try ResidualSignal(structure)
        let layers = structure.entries.filter(\.isWeight)
        var generator = RandomGenerator(seed: 3)
        let densities = Tensor.uniform([layers.count], low: -3, high: 0, dataType: .f64, using: &generator).doubles()
        let network = structure.architecture.makeNetwork(seed: 0)
        func value(_ p: [Double]) -> Double {
            var product = 1.0
            var blocks: [String: (inner: Double, shortcut: Double)] = [:]
            for (layer, density) in zip(layers, p) {
                let block = structure.architecture.configuration.residualBlocks.first {
                    layer.name.hasPrefix($0.name + ".")
                }
                guard let block else {
                    product *= density
                    continue
                }
                let weight = network.parameters.first { $0.name == layer.name }?.parameter.wrappedValue.doubles() ?? []
                let shape = network.parameters.first { $0.name == layer.name }?.parameter.wrappedValue.shape ?? [1]
                let mean = weight.reduce(0) { $0 + abs($1) } / Double(weight.count)
                let gain = Double(weight.count / shape[0]) * mean * density
                var own = blocks[block.name] ?? (1, 1)
                let isShortcut = layer.name.contains("downsample") || layer.name.contains("convShortcut")
                if isShortcut { own.shortcut *= gain } else { own.inner *= gain }
                blocks[block.name] = own
            }
            return blocks.values.reduce(product) { $0 * ($1.inner + $1.shortcut) }
        }
        let p = densities.map { exp($0) }
        let expected = log(value(p)) - log(value(p.map { _ in 1 }))
        #expect(abs(signal.logSignal(densities) - expected) < 1e-4 * abs(expected))
        #expect(signal.logSignal(densities.map { _ in 0 }) == 0)
        let slopes = signal.slopes(densities)
        for layer in layers.indices {
            var (high, low) = (densities, densities)
            high[layer] += 1e-5
            low[layer] -= 1e-5
            let slope = (signal.logSignal(high) - signal.logSignal(low)) / 2e-5
            #expect(abs(slope - slopes[layer]) < 1e-6 && slope > 0 && slope < 1 + 1e-6)
        }
    }

    /// Blocks with attention are no chains of layers, whose signal is a product.
    @Test func attentionHasNoResidualSignal() throws {
        let structure = try ChannelStructure(VisionArchitecture(named: "vit-2-24-p8"))
        #expect { try ResidualSignal(structure) } throws: { "\($0)".contains("attention in its blocks") }
    }

    /// The proxy of residual networks finds widths that it calls better, within the same budget.
    @Test(arguments: ["resnet20", "wrn-16-4"]) func residualProxyRaisesItsSignal(name: String) throws {
        let structure = try ChannelStructure(VisionArchitecture(named: name))
        var cropping = PreCropping(parameters: structure.parameterCount(structure.widths) * 3 / 10)
        let plain = try cropping.plan(for: structure)
        cropping.proxy = .residual
        let plan = try cropping.plan(for: structure)
        #expect(plan.after.parameters <= cropping.parameters ?? 0 && plain.logSignal == nil)
        let signal = try ResidualSignal(structure)
        let own = try #require(plan.logSignal)
        #expect(abs(own - signal.logSignal(plan.layers.map { log($0.density) })) < 1e-12)
        #expect(own > signal.logSignal(plain.layers.map { log($0.density) }) && own < 0)
        #expect(plan.json["log_signal"]?.doubleValue == own && plan.text.contains("log E[R]"))
        let other = try ChannelStructure(VisionArchitecture(named: "vgg11-bn"))
        #expect { try cropping.plan(for: other) } throws: { "\($0)".contains("no identity path") }
    }

    @Test func theChosenWidthsBeatOneFactorForAll() throws {
        for name in Self.names {
            let structure = try ChannelStructure(VisionArchitecture(named: name))
            let cropping = PreCropping(parameters: structure.parameterCount(structure.widths) / 5)
            let uniform = try cropping.plan(for: structure, densities: nil)
            #expect(try cropping.plan(for: structure).logDensity >= uniform.logDensity - 1e-9, "\(name)")
        }
    }

    /// One factor for all widths stays one where they are few: what whole channels leave of the budget does not go to one
    /// of them.
    @Test(arguments: [0.3, 0.1]) func oneFactorIsFollowed(part: Double) throws {
        let structure = try ChannelStructure(VisionArchitecture(named: "resnet14-projected", widthMultiplier: 0.5))
        let budget = Int(part * Double(structure.parameterCount(structure.widths)))
        let plan = try PreCropping(parameters: budget).plan(for: structure, densities: nil)
        #expect(plan.after.parameters <= budget && Double(plan.after.parameters) > 0.9 * Double(budget))
        let factor = plan.exactWidths[0] / Double(structure.widths[0])
        for (index, exact) in plan.exactWidths.enumerated() {
            #expect(abs(exact - factor * Double(structure.widths[index])) < 1e-9 * exact)
            #expect(abs(Double(plan.widths[index]) - exact) < 2, "\(structure.names[index])")
        }
    }

    @Test func roundingKeepsMultiplesAndFullWidths() throws {
        let structure = try ChannelStructure(VisionArchitecture(named: "vgg16-bn", widthMultiplier: 0.3))
        let plan = try PreCropping(multiplications: 12_000_000, rounding: 8).plan(for: structure)
        #expect(plan.after.multiplyAccumulates <= 12_000_000)
        for (new, old) in zip(plan.widths, structure.widths) { #expect(new % 8 == 0 || new == old) }
    }

    @Test func layersMayGrow() throws {
        let structure = try ChannelStructure(VisionArchitecture(named: "vgg11-bn"))
        let budget = structure.parameterCount(structure.widths)
        let plan = try PreCropping(parameters: budget, mode: .config).plan(for: structure)
        #expect(plan.after.parameters <= budget && plan.logDensity > 0)
        #expect(plan.widths[0] > structure.widths[0] && plan.widths[0] <= 2 * structure.widths[0])
        let same = try PreCropping(parameters: budget).plan(for: structure)
        #expect(same.widths == structure.widths && same.note != nil)
    }

    /// A width counts once for each layer that makes it and each that reads it; a filter of each channel alone does both
    /// at once, so its density is linear in the width.
    @Test func widthsCountForTheLayersThatTheyAreIn() throws {
        let chain = try ChannelStructure(VisionArchitecture(named: "lenet-300-100"))
        #expect(ChannelProgram(chain).weights == [2, 2])
        let structure = try ChannelStructure(VisionArchitecture(named: "mobilenet-v1-cifar"))
        let weights = ChannelProgram(structure).weights
        #expect(weights.dropLast().allSatisfy { $0 == 3 } && weights.last == 2)
        let plan = try PreCropping(parameters: 800_000).plan(for: structure)
        let depthwise = plan.layers.filter { $0.oldInputs == 1 && $0.newOutputs < $0.oldOutputs }
        #expect(!depthwise.isEmpty)
        for layer in depthwise {
            #expect(layer.newInputs == 1 && layer.density == Double(layer.newOutputs) / Double(layer.oldOutputs))
        }
    }

    /// New weights have the scale of the narrow layers, not of the wide ones.
    @Test func croppedNetworksStartAsNarrowOnes() throws {
        let architecture = try VisionArchitecture(named: "resnet20-projected")
        let plan = try PreCropping(parameters: architecture.parameterCount / 10).plan(for: architecture)
        func deviation(_ architecture: VisionArchitecture, _ name: String) throws -> Double {
            let parameters = architecture.makeNetwork(seed: 1).parameters
            let weight = try #require(parameters.first { $0.name == name }).parameter.wrappedValue.detached()
            return weight.square().mean().doubles()[0].squareRoot()
        }
        let layer = try #require(
            plan.layers.first { $0.name.hasPrefix("layer3.1.conv") && 2 * $0.newOutputs <= $0.oldOutputs })
        // He et al. by fan-out: √(2 / (9 · outputs)).
        let found = try deviation(plan.architecture, layer.name + ".weight")
        #expect(abs(found / (2 / Double(9 * layer.newOutputs)).squareRoot() - 1) < 0.15)
        #expect(try deviation(architecture, layer.name + ".weight") < 0.9 * found)
    }

    @Test func shortcutsThatArePaddedStayInOrder() throws {
        for part in [0.5, 0.1, 0.05] {
            let structure = try ChannelStructure(VisionArchitecture(named: "resnet20"))
            let budget = Int(part * Double(structure.parameterCount(structure.widths)))
            for densities in [nil, PreCropping(parameters: budget).layerDensities(structure)] {
                let plan = try PreCropping(parameters: budget).plan(for: structure, densities: densities)
                #expect(plan.after.parameters <= budget)
                #expect(structure.ascents.allSatisfy { plan.widths[$0.lower] <= plan.widths[$0.upper] })
            }
        }
    }

    /// A full width that is no multiple is floored where the next one comes out below it.
    @Test(arguments: [(1.0, 12), (0.625, 8), (0.75, 8), (1.25, 16), (1.25, 8)])
    func roundingKeepsPaddedShortcutsInOrder(multiplier: Double, rounding: Int) throws {
        let structure = try ChannelStructure(VisionArchitecture(named: "resnet20", widthMultiplier: multiplier))
        let all = structure.parameterCount(structure.widths)
        let least = structure.parameterCount(ChannelProgram(structure, rounding: rounding).least)
        for percent in stride(from: 5, through: 95, by: 5) where all * percent / 100 >= least {
            let cropping = PreCropping(parameters: all * percent / 100, rounding: rounding)
            let plans = [
                try cropping.plan(for: structure), try cropping.plan(for: structure, densities: nil),
                try cropping.plan(for: structure, densities: cropping.layerDensities(structure)),
            ]
            for plan in plans {
                #expect(plan.after.parameters <= all * percent / 100)
                #expect(plan.architecture.parameterCount == plan.after.parameters)
                #expect(structure.ascents.allSatisfy { plan.widths[$0.lower] <= plan.widths[$0.upper] })
                for (new, old) in zip(plan.widths, structure.widths) { #expect(new % rounding == 0 || new == old) }
            }
        }
    }

    @Test(arguments: [DensitySource.erk, .synflow, .snip, .grasp])
    func densitiesOfAMaskAreFollowed(source: DensitySource) throws {
        let structure = try ChannelStructure(VisionArchitecture(named: "vgg11-bn", widthMultiplier: 0.25))
        let architecture = structure.architecture
        let cropping = PreCropping(parameters: structure.parameterCount(structure.widths) / 4)
        var generator = RandomGenerator(seed: 5)
        let images = LabeledBatch(
            inputs: .normal([40] + architecture.inputShape, using: &generator),
            targets: Tensor((0..<40).map { $0 % 10 }))
        let densities = try source.densities(
            of: architecture, kept: cropping.keptFraction(structure), seed: 1,
            batches: source.needsData ? [images] : [])
        #expect(densities.count == structure.entries.count(where: \.isWeight))
        let total = structure.entries.filter(\.isWeight).reduce(0.0) {
            $0 + Double($1.count(structure.widths)) * (densities[$1.name] ?? .nan)
        }
        let weights = structure.entries.filter(\.isWeight).reduce(0) { $0 + $1.count(structure.widths) }
        #expect(abs(total / Double(weights) - cropping.keptFraction(structure)) < 1e-3)
        let plan = try cropping.plan(for: structure, densities: densities)
        #expect(plan.after.parameters <= cropping.parameters ?? 0)
        // A layer that is denser by far stays denser.
        let layers = plan.layers
        let order = layers.indices.sorted {
            densities[layers[$0].name + ".weight"]! < densities[layers[$1].name + ".weight"]!
        }
        let (sparsest, densest) = (layers[order[0]], layers[order[order.count - 1]])
        #expect(sparsest.density < densest.density)
    }

    @Test func whatIsTooSmallIsSaid() throws {
        let structure = try ChannelStructure(VisionArchitecture(named: "resnet20"))
        #expect {
            try PreCropping(parameters: 10).plan(for: structure)
        } throws: { error in
            guard let error = error as? CoppiceError else { return false }
            return error.field == "parameters" && error.description.contains("expected at least")
        }
        #expect(throws: CoppiceError.self) { try ChannelStructure(VisionArchitecture(named: "fastgrnn")) }
    }
}
