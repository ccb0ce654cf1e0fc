import CoppiceNetworks
import CoppiceTensors
import OrderedCollections

/// How the shapes of an architecture's parameters, and what it costs to compute with them, follow from its widths.
///
/// ```swift
/// let structure = try ChannelStructure(VisionArchitecture(named: "resnet20"))
/// structure.parameterCount(structure.widths)        // 269,722
/// structure.multiplications(structure.widths)       // 40,551,040 for one image
/// ```
///
/// Widths are ``VisionArchitecture/widths``. No network is run to find what they change, and each can be chosen on its own,
/// so that a network can also be made wider; ``TracedStructure`` has the channels that a given network can lose.
public struct ChannelStructure: WidthStructure {
    public let architecture: VisionArchitecture
    /// Names of the widths, in the order of the network.
    public let names: [String]
    /// The architecture's own widths.
    public let widths: [Int]
    /// Parameters, then state, in the network's order.
    public let entries: [StructuredEntry]
    /// Pairs of widths of which the second must be at least the first.
    public let ascents: [(lower: Int, upper: Int)]

    /// Finds the structure by comparing the shapes of a network of other widths and of one that has one channel
    /// everywhere, and by a pass of the latter.
    ///
    /// - Throws: `.badData` for an architecture that has no widths to choose.
    public init(_ architecture: VisionArchitecture) throws {
        guard !architecture.widths.isEmpty else {
            throw CoppiceError(
                .badData, field: "architecture",
                "\(architecture.name) has no channels to choose, expected a convolutional or fully connected network")
        }
        self.architecture = architecture
        names = Array(architecture.widths.keys)
        widths = Array(architecture.widths.values)
        let ascending = architecture.configuration.ascendingWidths.compactMap(names.firstIndex(of:))
        ascents = zip(ascending, ascending.dropFirst()).map { ($0, $1) }
        let narrowest = architecture.narrowestNetwork()
        let uses = architecture.weightUses(of: narrowest)
        entries = try WidthProbe(architecture, names: names).extents(narrowest: narrowest).map { own in
            StructuredEntry(name: own.name, axes: own.axes, isTrainable: own.isTrainable, uses: uses[own.name] ?? 0)
        }
    }

    public var description: String { architecture.description }

    /// The architecture with other widths.
    ///
    /// - Precondition: as many as there are.
    /// - Throws: `.badData` for widths that are impossible.
    public func resized(_ widths: [Int]) throws -> VisionArchitecture {
        precondition(widths.count == names.count, "\(widths.count) widths for \(names.count)")
        var configuration = architecture.configuration
        // Where no width was chosen the architecture has the standard ones: no network is built to see them.
        let isStandard = configuration.options.widths.isEmpty
        configuration.options.widths = [:]
        let standard = try isStandard ? architecture.widths : VisionArchitecture(configuration).widths
        for (name, width) in zip(names, widths) where standard[name] != width {
            configuration.options.widths[name] = width
        }
        if let sparing = try? VisionArchitecture(configuration), Array(sparing.widths.values) == widths {
            return sparing
        }
        // Where a width is by default a function of others, all are named.
        configuration.options.widths = Dictionary(uniqueKeysWithValues: zip(names, widths))
        return try VisionArchitecture(configuration)
    }
}

/// Builds networks of an architecture with other widths to see what follows from them.
private struct WidthProbe {
    private let architecture: VisionArchitecture
    private let names: [String]

    init(_ architecture: VisionArchitecture, names: [String]) {
        self.architecture = architecture
        self.names = names
    }

    private func network(_ widths: [Int]) -> any VisionNetwork {
        let chosen = Dictionary(uniqueKeysWithValues: zip(names, widths))
        var layers = LayerBuilder(unloaded: architecture.configuration.options) { chosen[$0] }
        return architecture.configuration.network(&layers)
    }

    private func shapes(_ network: any VisionNetwork) -> [(name: String, shape: [Int], isTrainable: Bool)] {
        network.parameters.map { ($0.name, $0.parameter.wrappedValue.shape, $0.parameter.isTrainable) }
            + network.stateTensors.map { ($0.name, $0.state.wrappedValue.shape, false) }
    }

    /// Shapes are affine in the widths. A network whose widths all differ tells an axis of one width, beside one that has
    /// one channel everywhere; where that cannot tell several channels of one width from those of several side by side, a
    /// network of random widths does. Of these, each width is changed alone.
    func extents(
        narrowest: any VisionNetwork
    ) throws -> [(name: String, axes: [ChannelExtent], isTrainable: Bool)] {
        let first = names.indices.map { 64 + $0 }
        let (one, unit) = (shapes(network(first)), shapes(narrowest))
        var generator = RandomGenerator(seed: 1)
        let second = names.map { _ in 1024 + Int(generator.next() % 8192) }
        lazy var two = shapes(network(second))
        func single(_ index: Int, _ axis: Int, multiple: Int) -> ChannelExtent.Term? {
            names.indices.first { width in
                one[index].shape[axis] == multiple * first[width]
                    && (multiple == 1 || two[index].shape[axis] == multiple * second[width])
            }.map { .init(width: $0, multiple: multiple) }
        }
        var result = one.indices.map { index in
            let axes = one[index].shape.indices.map { axis -> ChannelExtent? in
                let multiple = unit[index].shape[axis]
                if one[index].shape[axis] == multiple { return ChannelExtent(fixed: multiple) }
                return single(index, axis, multiple: multiple).map { ChannelExtent(fixed: 0, terms: [$0]) }
            }
            return (name: one[index].name, axes: axes, isTrainable: one[index].isTrainable)
        }
        let open = result.indices.flatMap { index in
            result[index].axes.indices.filter { result[index].axes[$0] == nil }.map { (index, $0) }
        }
        if !open.isEmpty {
            var sums = open.map { one[$0.0].shape[$0.1] }
            var terms = open.map { _ in [ChannelExtent.Term]() }
            for width in names.indices {
                var more = first
                more[width] += 1
                let changed = shapes(network(more))
                for (place, (index, axis)) in open.enumerated() {
                    let multiple = changed[index].shape[axis] - one[index].shape[axis]
                    guard multiple > 0 else { continue }
                    terms[place].append(.init(width: width, multiple: multiple))
                    sums[place] -= multiple * first[width]
                }
            }
            for (place, (index, axis)) in open.enumerated() {
                let sum = ChannelExtent(fixed: sums[place], terms: terms[place])
                guard sum(second) == two[index].shape[axis], sums[place] >= 0 else {
                    throw CoppiceError(
                        .badData, field: result[index].name,
                        "its shape is no sum of channels in \(architecture.name), expected one to choose widths")
                }
                result[index].axes[axis] = sum
            }
        }
        return result.map { ($0.name, $0.axes.compactMap { $0 }, $0.isTrainable) }
    }
}
