import TensorStorage

// The phases of a recurrence's passes. Work is cut over chunks where it needs no state, and over columns of
// states where it does.

extension ChunkedRecurrence {
  /// Forward, what is inside chunks and needs no state.
  public func prepare(_ x: Inputs, _ s: Scratch) {
    parallelFor(chunks * tasksPerChunk, (self, x, s)) { job, task in
      let (recurrence, x, s) = job
      recurrence.prepare(x, s, task: task)
    }
  }

  /// After `prepare`: outputs and the final state, which may take the place of the first one.
  public func output(_ x: Inputs, _ s: Scratch, start: Floats, into o: Floats, final: Floats) {
    parallelFor(columnBlocks.count, (self, x, s, start, o, final)) { job, index in
      let (recurrence, x, s, start, o, final) = job
      let task = recurrence.columnBlocks[index]
      let state = recurrence.state(final, task)
      if start != final { copyRows(recurrence.state(start, task), into: state) }
      for chunk in 0..<recurrence.chunks {
        recurrence.read(state, chunk: chunk, task, x, s, into: o)
        recurrence.advance(state, over: chunk, task, x, s)
      }
    }
    finishOutputs(x, s, into: o)
  }

  /// Backward, what is inside chunks and needs no state.
  public func prepareBackward(_ dout: Floats, _ x: Inputs, _ s: Scratch) {
    parallelFor(chunks * tasksPerChunk, (self, dout, x, s)) { job, task in
      let (recurrence, dout, x, s) = job
      recurrence.prepareBackward(dout, x, s, task: task)
    }
  }

  /// After `prepareBackward`: gradients of the inputs, and `dstate` from that of the final state to that
  /// of the first one.
  public func backward(
    _ dout: Floats, _ x: Inputs, _ s: Scratch, _ states: SpanStates, start: Floats,
    dstateInPlace dstate: Floats, into gradients: Gradients
  ) {
    let spans = spans
    storeSpanStarts(x, s, states, start)
    for index in (0..<spans.count).reversed() {
      let states = states.of(index, start: start)
      let job = (self, dout, x, s, states, dstate, gradients)
      parallelFor(2 * columnBlocks.count, job) { job, index in
        let (recurrence, dout, x, s, states, dstate, gradients) = job
        let task = recurrence.columnBlocks[index / 2]
        if index % 2 == 0 {
          recurrence.storeStates(x, s, states, task)
        } else {
          recurrence.storeStateGradients(dout, x, s, states, dstate, task, into: gradients)
        }
      }
      parallelFor(states.span.count * tasksPerChunk, (self, dout, x, s, states, gradients)) {
        job, task in
        let (recurrence, dout, x, s, states, gradients) = job
        recurrence.chunkBackward(dout, x, s, states, task: task, into: gradients)
      }
      finishSpan(s, states.span, into: gradients)
    }
    finishGradients(s, into: gradients)
  }

  /// The states at the starts of all spans but the first.
  private func storeSpanStarts(
    _ x: Inputs, _ s: Scratch, _ states: SpanStates, _ start: Floats
  ) {
    guard spans.startCount > 0 else { return }
    parallelFor(columnBlocks.count, (self, x, s, states, start)) { job, index in
      let (recurrence, x, s, states, start) = job
      let (task, spans) = (recurrence.columnBlocks[index], recurrence.spans)
      var state = recurrence.state(start, task)
      for index in 0..<spans.startCount {
        let next = recurrence.state(states.start(ofSpan: index + 1), task)
        copyRows(state, into: next)
        for chunk in spans[index] { recurrence.advance(next, over: chunk, task, x, s) }
        state = next
      }
    }
  }

  /// The states at a span's chunk boundaries, for one block of columns.
  @inline(__always)
  private func storeStates(_ x: Inputs, _ s: Scratch, _ states: SpanStates, _ task: StateTask) {
    var state = self.state(states.start(of: states.span.lowerBound), task)
    copyRows(self.state(states.start, task), into: state)
    for chunk in states.span {
      let next = self.state(states.end(of: chunk), task)
      copyRows(state, into: next)
      advance(next, over: chunk, task, x, s)
      state = next
    }
  }

  /// The state gradients at a span's chunk boundaries, for one block of columns; `dstate` moves from
  /// the span's end to its start.
  @inline(__always)
  private func storeStateGradients(
    _ dout: Floats, _ x: Inputs, _ s: Scratch, _ states: SpanStates, _ dstate: Floats,
    _ task: StateTask, into gradients: Gradients
  ) {
    let outer = state(dstate, task)
    var gradient = state(states.dend(of: states.span.upperBound - 1), task)
    copyRows(outer, into: gradient)
    for chunk in states.span.reversed() {
      readBackward(gradient, chunk: chunk, task, dout, s, into: gradients)
      let before = state(states.dstart(of: chunk), task)
      copyRows(gradient, into: before)
      retreat(before, over: chunk, task, dout, x, s)
      gradient = before
    }
    copyRows(gradient, into: outer)
  }
}

// MARK: - Parts

extension ChunkedRecurrence {
  /// Memory for what all parts tell each other.
  public func shares(_ plan: inout MemoryPlan, parts: Int) -> StateShares {
    let count = parts * (stateCount + transitionCount)
    return StateShares(
      base: plan.take(count), stateCount: stateCount, transitionCount: transitionCount,
      parts: parts)
  }

  /// After `prepare`: the final state from a zero start and the transition, into block `part`.
  ///
  /// Costs one more pass over the states.
  public func storeLocalState(
    _ x: Inputs, _ s: Scratch, into shares: StateShares, part: Int
  ) {
    parallelFor(columnBlocks.count, (self, x, s, shares.state(of: part))) { job, index in
      let (recurrence, x, s, target) = job
      let task = recurrence.columnBlocks[index]
      let state = recurrence.state(target, task)
      clearRows(state)
      for chunk in 0..<recurrence.chunks { recurrence.advance(state, over: chunk, task, x, s) }
    }
    storeTransition(s, into: shares.transition(of: part))
  }

  /// After `prepareBackward`: the gradient of the first state for none of the final one, and the
  /// transition, into block `part`.
  ///
  /// Costs one more pass over the states.
  public func storeLocalGradient(
    _ dout: Floats, _ x: Inputs, _ s: Scratch, into shares: StateShares, part: Int
  ) {
    parallelFor(columnBlocks.count, (self, dout, x, s, shares.state(of: part))) { job, index in
      let (recurrence, dout, x, s, target) = job
      let task = recurrence.columnBlocks[index]
      let gradient = recurrence.state(target, task)
      clearRows(gradient)
      for chunk in (0..<recurrence.chunks).reversed() {
        recurrence.retreat(gradient, over: chunk, task, dout, x, s)
      }
    }
    storeTransition(s, into: shares.transition(of: part))
  }

  /// Goes over all parts in order, with `S = T_j S + S_j` for each.
  ///
  /// Uses up the shares.
  ///
  /// - Parameters:
  ///   - shares: every part's block.
  ///   - direction: forward for states, backward for gradients.
  ///   - part: the part whose own value is wanted.
  ///   - state: in, the value before the first part in that order; out, after the last.
  ///   - own: overwritten with the value before part `part`.
  public func fold(
    _ shares: StateShares, _ direction: FoldDirection, part: Int, stateInPlace state: Floats,
    into own: Floats
  ) {
    parallelFor(columnBlocks.count, (self, shares, direction, part, state, own)) { job, index in
      let (recurrence, shares, direction, part, state, own) = job
      let task = recurrence.columnBlocks[index]
      let running = recurrence.state(state, task)
      for place in 0..<shares.parts {
        let index = direction.part(place, of: shares.parts)
        if index == part { copyRows(running, into: recurrence.state(own, task)) }
        let end = recurrence.state(shares.state(of: index), task)
        recurrence.transition(shares.transition(of: index))
          .carry(running, accumulatingInto: end, task, direction)
        copyRows(end, into: running)
      }
    }
  }
}
