import CoppiceCompression
import CoppiceModels
import CoppiceTensors

/// Whether one threshold on the sizes of all weights, with a floor for each layer, is as good as cleverer ways to share a
/// sparsity out.
public struct GlobalMagnitude: Experiment {
    public let identifier = "global-mp"
    public let title = "Global magnitude pruning: is complexity required?"
    public let paper =
        "Gupta, Camci, Keneta, Vaidyanathan, Kanodia, Foo, Wu and Lin, Is Complexity Required for Neural Network Pruning? A "
        + "Case Study on Global Magnitude Pruning (2022), arXiv:2209.14624"
    public let summary =
        "A perceptron on Fashion-MNIST and a trained ResNet-20 on CIFAR-10 are pruned with one threshold, with and without a "
        + "floor, uniformly, by ERK, LAMP and at random, and trained alike afterwards, beside pruning by curvature, at "
        + "initialization, sparse training and iterative pruning; a network whose layer of small weights collapses is "
        + "repaired by the floor."

    public init() {}

    public func run(_ setting: ExperimentSetting, progress: any ProgressReporter) throws -> ExperimentReport {
        let size = setting.isFull ? Size.full : .standard.scaled(by: setting.scale)
        let study = try ImageStudy(.fashion, imageCount: size.images, epochs: size.epochs, in: setting)
        let measured = try GlobalMagnitudeMeasurement(setting, study: study, size: size, progress: progress)
        let total = MarkupText.number(Double(size.epochs) + size.epochsAfter)
        return ExperimentReport(
            identifier: identifier, title: title, paper: paper,
            protocolText:
                "Trained networks lose their smallest weights at once (biases and norms are not counted) and are trained on "
                + "with the masks held, by SGD with momentum 0.9 and a cosine schedule, as long for every method. The floor "
                + "keeps 0.5 % of each layer's own weights (5 % in the network that collapses), the paper's keeps in each "
                + "layer 0.05 % of all weights. Random masks are global. The gradual arm prunes by a cubic ramp through the "
                + "first half of the same training. WoodFisher removes weights in four steps by 256 gradients of 16 images. "
                + "SNIP, GraSP (256 images) and SynFlow (100 rounds) prune the perceptron's initial weights, and SET and "
                + "RigL keep it sparse from the start, with densities by ERK, and move 0.3 of the connections (RigL: "
                + "falling) every 100 steps for three quarters of the training: all five train for \(total) epochs, as "
                + "many as the others in all. Iterative magnitude pruning (IMP) removes about a fifth at a time, rewinds to "
                + "\(MarkupText.percent(PruningComparison.rewoundPart, places: 0)) of the training and trains \(total) "
                + "epochs at each of 17 levels after the dense one, of which 10 lead to 90 %. ResNet-20 starts from trained "
                + "weights; there gradual magnitude pruning (GMP) ramps up under one threshold, and M-FAC removes weights "
                + "in four steps by the inverse Fisher matrix of 64 gradients of 16 images, with the others making up for "
                + "them. Uniform+ and random masks are run there at 90 % alone, which pays for more epochs of the others; so "
                + "does leaving out SNIP, GraSP and SynFlow, which are made for initial weights.",
            facts: study.facts + [
                .init("epochs after pruning", MarkupText.number(size.epochsAfter)),
                .init("seeds", setting.seeds.map(String.init).joined(separator: ", ")),
                .init(
                    "ResNet-20",
                    "\(size.residualImages.map(String.init) ?? "all") images, \(MarkupText.number(size.residualEpochs)) "
                        + "epochs after pruning in batches of \(size.residualBatch), \(measured.residualSeeds.count) "
                        + "seed(s)"),
            ],
            claims: measured.claims, illustrations: measured.illustrations, tables: measured.tables,
            notes: [
                "The paper's own networks (ResNet-50 on ImageNet, WRN-28-8, MobileNet-V1, FastGRNN) were not trained here.",
                "Uniform+ keeps the first layer dense, which is 88 % of LeNet-300-100: it cannot reach 90 % there.",
                "Multiplications of a perceptron are its weights: arms of one sparsity do not differ in them.",
            ], data: measured.json)
    }

    /// How much is trained.
    struct Size: Sendable {
        var images: Int?
        var epochs: Int
        var epochsAfter: Double
        /// Of the convolutional network whose layer collapses.
        var collapseImages: Int?
        var collapseEpochs: Int
        var residualImages: Int?
        var residualEpochs: Double
        var residualBatch = 32
        /// How many of the seeds; nil for all.
        var residualSeeds: Int?

        static let standard = Size(
            images: 20_000, epochs: 5, epochsAfter: 3, collapseImages: 6_000, collapseEpochs: 3, residualImages: 1_300,
            residualEpochs: 5, residualSeeds: 2)

        static let full = Size(
            images: nil, epochs: 30, epochsAfter: 30, collapseImages: nil, collapseEpochs: 20, residualImages: nil,
            residualEpochs: 30, residualBatch: 128)

        /// Images of everything multiplied.
        func scaled(by factor: Double) -> Size {
            var size = self
            size.images = images.map { $0.scaled(by: factor, least: 200) }
            size.collapseImages = collapseImages.map { $0.scaled(by: factor, least: 200) }
            size.residualImages = residualImages.map { $0.scaled(by: factor, least: 200) }
            return size
        }
    }
}
