import ArgumentParser
import CoppiceCompression
import CoppiceModels
import CoppiceTensors
import Foundation

extension PruneStage.Method: ExpressibleByArgument {
    public static var allValueStrings: [String] { CurveMeasurement.methods.map(\.rawValue) }
}
extension OutputDistortion: ExpressibleByArgument {}
extension RateDistortionOptions.Calibration: ExpressibleByArgument {}

/// `coppice analyze curves`: what pruning each layer alone does to a model's outputs, as a file.
struct AnalyzeCurves: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "curves",
        abstract: "Measure what pruning each layer alone does to the outputs, into a file that allocates any sparsity.",
        discussion: """
            Each weight loses its smallest scores at one rate after another, and the squared error of the outputs \
            (before any softmax, without labels) is its curve. The file belongs to the model's weights: analyze allocate \
            shares sparsities out by it in moments, and so does a recipe (allocation: rate-distortion, curves: FILE), \
            which refuses curves of another model. Vision networks need images (--data) or --calibration gaussian, \
            language models and encoders a text (default: the sample tales), classifiers of texts a file of texts with labels.
            """)

    @OptionGroup var model: ModelArgument
    @Option(help: ArgumentHelp("The file to write.", valueName: "file"))
    var output: String
    @Option(help: ArgumentHelp("Images of a vision network, of which training images are taken.", valueName: "folder"))
    var data: String?
    @Option(
        help: ArgumentHelp("Text for a language model or an encoder (default: the sample tales).", valueName: "file"))
    var text: String?
    @OptionGroup var labels: LabelledArguments
    @Option(help: ArgumentHelp("What matters inside a layer.", valueName: "m"))
    var method = PruneStage.Method.magnitude
    @Option(
        help: ArgumentHelp(
            "Even steps of rates from 0 to 1 (default: 20; of texts 8); five more near 1 halve what is left.",
            valueName: "k"))
    var grid: Int?
    @Option(
        help: ArgumentHelp(
            "Images, or windows of the text, that run for each rate (default: 128 images, 8 windows).", valueName: "n"))
    var samples: Int?
    @Option(help: ArgumentHelp("The mean over samples, or the worst of them.", valueName: "d"))
    var distortion = OutputDistortion.mean
    @Option(help: ArgumentHelp("data, or gaussian for noise in the shape of images.", valueName: "c"))
    var calibration = RateDistortionOptions.Calibration.data
    @Option(help: ArgumentHelp("Tokens of a window (default: 512, or the model's context).", valueName: "n"))
    var length: Int?
    @OptionGroup var weights: WeightArguments
    @Option(help: ArgumentHelp("Seeds samples, noise and random scores.", valueName: "n"))
    var seed: UInt64 = 42
    @OptionGroup var common: CommonOptions

    mutating func validate() throws {
        for (name, value, most) in [("grid", grid, 1000), ("samples", samples, 1_000_000), ("length", length, 1 << 20)]
        {
            if let value, !(1...most).contains(value) {
                throw ValidationError("--\(name): expected 1 to \(most), found \(value)")
            }
        }
        if calibration == .gaussian, data != nil, method == .magnitude || method == .random || method == .synflow {
            throw ValidationError("--data: \(method.rawValue) on gaussian noise looks at no image; leave it out")
        }
    }

    func run() throws {
        common.apply()
        PendingOutput.removeOnTermination()
        // Now, since a file that cannot be written should not be found out about after the work.
        try AtomicFile(at: output).discard()
        let start = Date()
        let file = try measured()
        let seconds = Date().timeIntervalSince(start)
        try file.write(to: output)
        let points = file.curves.reduce(0) { $0 + $1.points.count }
        if common.json {
            try Output.json(
                .object([
                    "output": .string(output), "model": .string(model.model), "model_digest": .string(file.modelDigest),
                    "method": .string(method.rawValue), "distortion": .string(distortion.rawValue),
                    "calibration": .string(calibration.rawValue), "samples": .integer(file.samples),
                    "layers": .integer(file.layers.count), "points": .integer(points),
                    "weights": .integer(file.curves.reduce(0) { $0 + $1.count }), "seconds": .number(seconds),
                ]))
        } else {
            try Output.line(
                "\(output): \(file.layers.count) curves of \(points) points on \(file.samples) samples in "
                    + "\(Output.number(seconds, digits: 1)) s")
        }
    }

    private func measured() throws -> CurveFile {
        var measurement = CurveMeasurement()
        (measurement.method, measurement.seed, measurement.windowLength) = (method, seed, length)
        measurement.options.grid = grid
        measurement.options.samples = samples
        (measurement.options.distortion, measurement.options.calibration) = (distortion, calibration)
        measurement.selection = weights.selection
        func refuse(_ options: [(String, Bool)], _ message: String) throws {
            if let (name, _) = options.first(where: \.1) { throw CoppiceError(.usage, field: name, message) }
        }
        switch try AnyCheckpoint.open(model.path) {
        case .vision(let checkpoint):
            try refuse(
                [("--text", text != nil), ("--length", length != nil)], "is for language models; --data names images")
            if data == nil, calibration == .data {
                throw CoppiceError(
                    .usage, field: "--data", "is missing: curves are measured on images, or with --calibration gaussian"
                )
            }
            let images = try data.map { try CompressionImages(folder: $0, for: checkpoint, seed: seed) }
            return try measurement.run(checkpoint, images: images, progress: common.progress)
        case .languageModel(let checkpoint):
            try refuse([("--data", data != nil)], "is for vision networks, this is none; --text names a text")
            return try measurement.run(checkpoint, text: tokens(checkpoint.tokenizer()), progress: common.progress)
        case .encoder(let checkpoint):
            try refuse([("--data", data != nil)], "is for vision networks, this is none; --text names a text")
            guard checkpoint.head == .classifies else {
                return try measurement.run(checkpoint, text: tokens(checkpoint.tokenizer()), progress: common.progress)
            }
            guard let text else {
                throw CoppiceError(
                    .usage, field: "--text", "is missing: curves of a classifier are measured on texts with labels")
            }
            return try measurement.run(
                checkpoint, labelled: labels.read(text, for: checkpoint), progress: common.progress)
        }
    }

    private func tokens(_ tokenizer: any Tokenizer) throws -> CalibrationTokens {
        let path = try text ?? BuiltInModel.sampleText
        return CalibrationTokens(tokenizer.encode(try TextFile.read(path), addingSpecialTokens: false), source: path)
    }
}
