import CoppiceTensors

extension ResNet.Configuration {
    public static let knownNames =
        [20, 32, 44, 56, 110].map { "resnet\($0)" } + [18, 34, 50, 101, 152].map { "resnet\($0)" }
        + ["resnet18-cifar", "resnet50-cifar", "resnet20-projected"]

    /// `resnet20`, `resnet50`; `resnet-3-2-3` where the stages' blocks are no usual depth's.
    ///
    /// `-cifar`: a first convolution of 3 × 3 before four stages; `-bottleneck` and `-projected` where the name does
    /// not say so already.
    public var name: String {
        let suffix = isForCIFAR ? (shortcut == .projected ? "-projected" : "") : (scale == .small ? "-cifar" : "")
        let isUsual =
            if let usual = Self.imageNetBlocks[depth] {
                usual == (blocks, block)
            } else {
                isForCIFAR && block == .basic && Set(blocks).count == 1
            }
        if isUsual { return "resnet\(depth)\(suffix)" }
        let counts = blocks.map(String.init).joined(separator: "-")
        return "resnet-\(counts)\(block == .bottleneck ? "-bottleneck" : "")\(suffix)"
    }

    /// Three stages from 16 channels, as for small images; others begin with 64.
    private var isForCIFAR: Bool { blocks.count == 3 }

    public init?(named name: String) throws {
        if let match = name.wholeMatch(of: /resnet([0-9]+)(-cifar|-projected)?/) {
            let depth = Int(match.1) ?? 0
            if Self.imageNetBlocks[depth] != nil {
                guard match.2 != "-projected" else { throw Self.refusal(name, "resnet\(depth): it always projects") }
                self = try .imageNet(depth: depth, scale: match.2 == nil ? .large : .small)
                return
            }
            guard depth >= 8, depth % 6 == 2, depth <= Self.largestCount else {
                throw Self.refusal(name, "a depth of 18, 34, 50, 101, 152, or of 6n + 2: 20, 32, 44, 56, 110")
            }
            guard match.2 != "-cifar" else { throw Self.refusal(name, "resnet\(depth): it is for CIFAR already") }
            self = try .cifar(depth: depth, shortcut: match.2 == nil ? .padded : .projected)
        } else if let match = name.wholeMatch(of: /resnet-([0-9]+(?:-[0-9]+)*)(-bottleneck)?(-cifar|-projected)?/) {
            let block: ResNet.Block = match.2 == nil ? .basic : .bottleneck
            guard let blocks = Self.counts(match.1), Self.arePossible(blocks, block),
                match.3 != (blocks.count == 3 ? "-cifar" : "-projected")
            else { throw Self.refusal(name, "blocks of three stages, or of four with or without -cifar") }
            self.init(
                blocks: blocks, block: block,
                shortcut: blocks.count == 3 && match.3 == nil ? .padded : .projected,
                scale: blocks.count == 3 || match.3 == "-cifar" ? .small : .large)
        } else {
            return nil
        }
    }

    private init(blocks: [Int], block: ResNet.Block, shortcut: ResNet.Shortcut, scale: ImageScale) {
        self.init(
            blocks: blocks, block: block, baseWidth: blocks.count == 3 ? 16 : 64, shortcut: shortcut, scale: scale,
            options: scale.options)
    }

    public init?(recognizing tensors: TensorShapes) {
        guard tensors.hasWeight("conv1", rank: 4), tensors.hasWeight("layer2.0.conv1", rank: 4),
            let kernel = tensors.extent("conv1", 2), let classes = tensors.outputs("fc"),
            let channels = tensors.extent("conv1", 1), min(classes, channels) > 0
        else { return nil }
        // The first stage may have no block left.
        let stages = 1 + tensors.count("layer", from: 2)
        let block: ResNet.Block = tensors.hasWeight("layer2.0.conv3", rank: 4) ? .bottleneck : .basic
        let blocks = (1...stages).map { tensors.count("layer\($0).") }
        guard Self.arePossible(blocks, block) else { return nil }
        self.init(
            blocks: blocks, block: block,
            shortcut: tensors.contains("layer2.0.downsample") ? .projected : .padded,
            scale: kernel == 7 ? .large : .small)
        options.classes = classes
        options.inputChannels = channels
    }

    /// `linear` for `fc` and `shortcut` for `downsample` are read too, and blocks that remain of a stage are counted
    /// anew.
    public static func canonicalNames(_ names: [String]) -> [String] {
        let parts = names.map { name in
            var parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
            if parts[0] == "linear" { parts[0] = "fc" }
            if parts.count > 2, parts[2] == "shortcut" { parts[2] = "downsample" }
            return parts
        }
        var present: [String: Set<Int>] = [:]
        for part in parts where part.count > 2 && part[0].hasPrefix("layer") {
            if let index = Int(part[1]) { present[part[0], default: []].insert(index) }
        }
        let order = present.mapValues { indices in
            Dictionary(uniqueKeysWithValues: indices.sorted().enumerated().map { (String($1), String($0)) })
        }
        return parts.map { parts in
            var parts = parts
            if parts.count > 2, let place = order[parts[0]]?[parts[1]] { parts[1] = place }
            return parts.joined(separator: ".")
        }
    }

    /// The streams of channels that blocks add to, where shortcuts are padded: they cannot get narrower.
    public var ascendingWidths: [String] {
        guard shortcut == .padded else { return [] }
        let stages = blocks.indices.filter { blocks[$0] > 0 && ($0 > 0 || block == .bottleneck) }
        return ["conv1"] + stages.map { "layer\($0 + 1).0.conv\(block == .basic ? 2 : 3)" }
    }

    public func check(widths: [String: Int]) throws {
        let streams = ascendingWidths
        for (before, name) in zip(streams, streams.dropFirst()) {
            let (channels, next) = (widths[before] ?? 0, widths[name] ?? 0)
            guard next >= channels else {
                throw CoppiceError(
                    .badData, field: "widths.\(name)",
                    "\(next) channels after \(channels), expected no fewer where shortcuts are padded")
            }
        }
    }

    /// Padded shortcuts put a stream into the middle of the next one, so all streams keep their middle channels.
    public func keptStarts(from old: [String: Int], to new: [String: Int]) throws -> [String: Int] {
        let streams = ascendingWidths
        guard let first = streams.first, let channels = old[first], let kept = new[first] else { return [:] }
        /// The starts that follow from the first stream's; nil where one of them is impossible.
        func starts(from start: Int) -> [String: Int]? {
            var result = [first: start]
            var place = start
            for (before, name) in zip(streams, streams.dropFirst()) {
                let (wide, narrow) = (old[name] ?? 0, new[name] ?? 0)
                place += (wide - (old[before] ?? 0)) / 2 - (narrow - (new[before] ?? 0)) / 2
                guard place >= 0, place + narrow <= wide else { return nil }
                result[name] = place
            }
            return result
        }
        for start in 0...max(0, channels - kept) {
            if let found = starts(from: start) { return found }
        }
        throw CoppiceError(
            .badData, field: "widths",
            "of \(name): its padded shortcuts couple channels so that no neighbouring ones can stay")
    }

    private var stages: BlockStages {
        BlockStages(counts: blocks, stageName: { "layer\($0 + 1)" }, changesFirst: block == .bottleneck)
    }

    public var residualBlocks: [ResidualBlockPlace] {
        let last = block == .basic ? 2 : 3
        return stages.places { ["\($0).bn\(last).weight", "\($0).bn\(last).bias"] }
    }

    public func removing(
        blocks: Set<String>
    ) -> (configuration: any VisionConfiguration, oldNames: [String: String])? {
        let (counts, oldNames, widths) = stages.removing(blocks, widths: options.widths)
        guard Self.arePossible(counts, block) else { return nil }
        var configuration = self
        configuration.blocks = counts
        configuration.options.widths = widths
        return (configuration, oldNames)
    }

    public func network(_ layers: inout LayerBuilder) -> any VisionNetwork { ResNet(self, &layers) }
}
