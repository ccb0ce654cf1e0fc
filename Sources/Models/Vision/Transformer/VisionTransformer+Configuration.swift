import CoppiceNetworks
import CoppiceTensors
import OrderedCollections

extension VisionTransformer.Configuration {
    /// Blocks and width of the published sizes (Dosovitskiy et al., table 1; Touvron et al., "Training data-efficient
    /// image transformers", 2021, table 1).
    private static let sizes: KeyValuePairs<String, (depth: Int, width: Int)> = [
        "ti": (12, 192), "s": (12, 384), "b": (12, 768), "l": (24, 1024), "h": (32, 1280),
    ]
    /// How others call them.
    private static let sizeNames = ["tiny": "ti", "small": "s", "base": "b", "large": "l", "huge": "h"]

    public static let knownNames = [
        "vit-ti-16", "vit-s-16", "vit-s-32", "vit-b-16", "vit-b-32", "vit-l-16", "vit-l-32", "vit-6-192-p4",
    ]

    /// `vit-b-16`; `vit-6-192-p4` with 6 blocks, vectors of 192 and patches of 4 × 4 where that is no published size.
    public var name: String {
        if let size = Self.sizes.first(where: { $0.value == (depth, width) }), Self.isLarge(patchSize) {
            return "vit-\(size.key)-\(patchSize)"
        }
        return "vit-\(depth)-\(width)-p\(patchSize)"
    }

    public var smallestImage: Int { patchSize }

    /// Whether patches are those of large images.
    private static func isLarge(_ patchSize: Int) -> Bool { patchSize > 8 }

    /// The head size of published networks: the largest usual one that makes at least three heads.
    private static func usualHeadSize(_ width: Int) -> Int {
        [64, 32, 16, 8].first { width % $0 == 0 && width >= 3 * $0 } ?? width
    }

    /// `vit-b-16` as torchvision has it, `vit-base-patch16-224` and `deit-small-patch16-224` as timm has, or depth, width
    /// and patch size.
    public init?(named name: String) throws {
        if let match = name.wholeMatch(of: /(?:vit|deit)-([a-z]+)-(?:patch)?([0-9]+)(?:-([0-9]+))?/) {
            let key = Self.sizeNames[String(match.1)] ?? String(match.1)
            guard let size = Self.sizes.first(where: { $0.key == key })?.value,
                let patch = Int(match.2), (1...Self.largestCount).contains(patch),
                let extent = Int(match.3 ?? "224"), extent >= patch, extent <= 1 << 14
            else { throw Self.refusal(name, "a size of ti, s, b, l or h and that of a patch, such as vit-b-16") }
            self.init(depth: size.depth, width: size.width, headSize: key == "h" ? 80 : 64, patchSize: patch)
            options.imageSize = .init(extent)
        } else if let match = name.wholeMatch(of: /vit-([0-9]+)-([0-9]+)-p([0-9]+)/) {
            let numbers = [match.1, match.2, match.3].map { Int($0) ?? 0 }
            guard numbers.allSatisfy((1...1 << 16).contains), numbers[0] <= Self.largestCount,
                numbers[2] <= Self.largestCount
            else { throw Self.refusal(name, "blocks, width and patch size, such as vit-6-192-p4") }
            self.init(
                depth: numbers[0], width: numbers[1], headSize: Self.usualHeadSize(numbers[1]), patchSize: numbers[2],
                options: Self.isLarge(numbers[2]) ? .imageNet : .cifar)
            // Whole patches, at least one.
            options.imageSize = .init(max(1, options.imageSize.rows / patchSize) * patchSize)
        } else {
            return nil
        }
    }

    /// Images are taken to be square. Widths whose heads nothing tells are not recognized: those below 192 and those that
    /// are no multiple of 64, but for the published one of heads of 80.
    public init?(recognizing tensors: TensorShapes) {
        guard tensors.hasWeight("patch_embed.proj", rank: 4), tensors["cls_token"] != nil,
            let width = tensors.outputs("patch_embed.proj"), let channels = tensors.extent("patch_embed.proj", 1),
            let patch = tensors.extent("patch_embed.proj", 2), let tokens = tensors["pos_embed"], tokens.count == 3,
            let classes = tensors.outputs("head"), tokens[1] > 1, min(width, channels, patch, classes) > 0
        else { return nil }
        let depth = tensors.count("blocks.")
        guard (1...Self.largestCount).contains(depth) else { return nil }
        let side = Int(Double(tokens[1] - 1).squareRoot().rounded())
        let isHuge = (depth, width) == (32, 1280)
        guard width >= 192, width % 64 == 0 else { return nil }
        self.init(
            depth: depth, width: width, headSize: isHuge ? 80 : 64, patchSize: patch,
            options: ClassifierOptions(classes: classes, inputChannels: channels, imageSize: .init(side * patch)))
        self = sized(by: tensors)
    }

    /// Names of torchvision's vision transformers as timm's.
    public static func canonicalNames(_ names: [String]) -> [String] {
        let parts = [
            ("self_attention.in_proj_", "attn.qkv."), ("self_attention.out_proj.", "attn.proj."), ("ln_1.", "norm1."),
            ("ln_2.", "norm2."), ("mlp.0.", "mlp.fc1."), ("mlp.3.", "mlp.fc2."), ("mlp.linear_1.", "mlp.fc1."),
            ("mlp.linear_2.", "mlp.fc2."),
        ]
        let (blocks, others) = (
            "encoder.layers.encoder_layer_",
            [
                ("class_token", "cls_token"), ("conv_proj.", "patch_embed.proj."),
                ("encoder.pos_embedding", "pos_embed"),
                ("encoder.ln.", "norm."), ("heads.head.", "head."),
            ]
        )
        return names.map { name in
            if name.hasPrefix(blocks) {
                let rest = name.dropFirst(blocks.count)
                let own = parts.reduce(String(rest)) { $0.replacing("." + $1.0, with: "." + $1.1) }
                return "blocks." + own
            }
            guard let (old, new) = others.first(where: { name.hasPrefix($0.0) }) else { return name }
            return new + name.dropFirst(old.count)
        }
    }

    public var details: OrderedDictionary<String, JSON> {
        var details: OrderedDictionary<String, JSON> = ["head_size": .integer(headSize)]
        if let heads { details["heads"] = .array(heads.map { .integer($0) }) }
        return details
    }

    public mutating func read(_ fields: DetailFields) throws {
        headSize = try fields.count("head_size", default: headSize)
        heads = try fields.counts("heads", count: depth)
    }

    public func check(widths: [String: Int]) throws {
        guard width % headSize == 0 else {
            throw CoppiceError(
                .badData, field: "head_size", "\(headSize), expected a divisor of the width \(width) of \(name)")
        }
        let size = options.imageSize
        guard size.rows % patchSize == 0, size.columns % patchSize == 0 else {
            throw CoppiceError(
                .badData, field: "image_size",
                "\(size.rows) × \(size.columns), expected multiples of the patches' \(patchSize) for \(name)")
        }
    }

    /// Heads are those of the tensors.
    public func sized(by tensors: TensorShapes) -> VisionTransformer.Configuration {
        let counts = (0..<depth).map { (tensors.outputs("blocks.\($0).attn.qkv") ?? 0) / (3 * headSize) }
        var own = self
        let whole = (tensors.outputs("patch_embed.proj") ?? 0) / headSize
        own.heads = counts.contains(0) || Set(counts) == [whole] ? nil : counts
        return own
    }

    private var stages: BlockStages { BlockStages(counts: [depth], stageName: { _ in "blocks" }, changesFirst: false) }

    /// Each with its attention and its hidden layer.
    public var residualBlocks: [ResidualBlockPlace] {
        stages.places { name in
            ["attn.proj", "mlp.fc2"].flatMap { ["\(name).\($0).weight", "\(name).\($0).bias"] }
        }
    }

    public func removing(
        blocks: Set<String>
    ) -> (configuration: any VisionConfiguration, oldNames: [String: String])? {
        let (counts, oldNames, widths) = stages.removing(blocks, widths: options.widths)
        guard counts[0] > 0 else { return nil }
        var own = self
        own.depth = counts[0]
        let left = heads.map { heads in heads.indices.filter { !blocks.contains("blocks.\($0)") }.map { heads[$0] } }
        own.heads = left.flatMap { Set($0) == [headCount] ? nil : $0 }
        own.options.widths = widths
        return (own, oldNames)
    }

    public func network(_ layers: inout LayerBuilder) -> any VisionNetwork { VisionTransformer(self, &layers) }
}
