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

    public func check(widths: [String: Int]) throws {
        guard shortcut == .padded else { return }
        var channels = widths["conv1"] ?? 0
        for stage in blocks.indices.dropFirst() {
            let name = "layer\(stage + 1).0.conv\(block == .basic ? 2 : 3)"
            let next = widths[name] ?? channels
            guard next >= channels else {
                throw CoppiceError(
                    .badData, field: "widths.\(name)",
                    "\(next) channels after \(channels), expected no fewer where shortcuts are padded")
            }
            channels = next
        }
    }

    public func network(_ layers: inout LayerBuilder) -> any VisionNetwork { ResNet(self, &layers) }
}
