import CoppiceInference
import CoppiceTensors
import Hummingbird
import Logging

/// Sequences that an engine generates for one HTTP request, their events merged into one stream.
///
/// Letting go of the stream cancels the sequences, as does a client that goes away or a shutdown that runs out of time.
struct Generation: Sendable {
    /// One event of one sequence.
    struct Event: Sendable {
        /// The index of its request among those that were started.
        var sequence: Int
        var event: GenerationEvent
    }

    /// Ends after every sequence has sent its finish reason; throws ``APIError`` when one fails.
    let events: AsyncThrowingStream<Event, any Error>

    /// Submits `requests` and starts listening.
    ///
    /// - Parameter connection: The client's; its end ends the sequences.
    /// - Throws: ``APIError`` when the engine refuses one of them; the others are then cancelled.
    init(
        _ requests: [GenerationRequest], on engine: any TextEngine, connection: Connection?, drain: Drain,
        metrics: ServerMetrics, logger: Logger
    ) throws {
        @Sendable func answer(to error: any Error) -> APIError {
            let answer = APIError(refusal: error, isDraining: drain.isDraining)
            // The details are for the operator; to the client they would only show the inside.
            if answer.status == .internalServerError { logger.error("\(engine.modelName): \(error)") }
            return answer
        }
        let streams: [AsyncThrowingStream<GenerationEvent, any Error>]
        do {
            streams = try requests.map { try engine.submit($0) }
        } catch {
            throw answer(to: error)
        }
        let recorder = metrics.recorder(model: engine.modelName)
        recorder.started(requests)

        let (events, continuation) = AsyncThrowingStream.makeStream(of: Event.self)
        let task = Task {
            do {
                try await Self.forward(streams, into: continuation, recorder)
                continuation.finish()
            } catch {
                continuation.finish(throwing: answer(to: error))
            }
        }
        let gone = connection?.clientGone.observe { continuation.finish(throwing: APIError.clientGone) }
        let expired = drain.deadline.observe { continuation.finish(throwing: APIError.shuttingDown) }
        @Sendable func release() {
            task.cancel()
            if let gone { connection?.clientGone.forget(gone) }
            drain.deadline.forget(expired)
        }
        continuation.onTermination = { _ in release() }
        // The stream may have been finished before it had anything to call.
        if connection?.clientGone.hasFired == true || drain.deadline.hasFired { release() }
        self.events = events
    }

    private static func forward(
        _ streams: [AsyncThrowingStream<GenerationEvent, any Error>],
        into continuation: AsyncThrowingStream<Event, any Error>.Continuation, _ recorder: ServerMetrics.Recorder
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (sequence, stream) in streams.enumerated() {
                group.addTask {
                    var timer = recorder.timer()
                    var reason: FinishReason?
                    do {
                        for try await event in stream {
                            timer.token()
                            continuation.yield(Event(sequence: sequence, event: event))
                            reason = event.finishReason ?? reason
                        }
                    } catch {
                        // Whatever an engine says to its own cancellation is no failure.
                        guard Task.isCancelled else { throw error }
                    }
                    switch reason {
                    case nil where Task.isCancelled, .cancelled where Task.isCancelled: recorder.cancelled()
                    // An engine that is shut down ends what it runs; the client must not take that for the end.
                    case .cancelled: throw APIError.shuttingDown
                    case nil: throw APIError.internalFault
                    default: break
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
